/* What a service written against ZooKeeper's C client expects of its server. Takes the connect string.
 *
 * The C client reads a connect response of a fixed length, and is the base of many bindings. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { LIMIT_SECONDS = 20 };

static void check(const char *what, int holds) {
    printf("%s %s\n", holds ? "ok" : "FAILED", what);
    fflush(stdout);
    if (!holds) {
        exit(1);
    }
}

static void must(const char *what, int code) {
    if (code != ZOK) {
        printf("FAILED %s: %s\n", what, zerror(code));
        exit(1);
    }
    printf("ok %s\n", what);
}

/* What a watcher was told first. */
struct told {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int count;
    int type;
    char path[256];
};

static struct told *nobody_told(void) {
    struct told *told = calloc(1, sizeof *told);
    pthread_mutex_init(&told->lock, NULL);
    pthread_cond_init(&told->came, NULL);
    return told;
}

static void tell(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct told *told = context;
    (void)zh;
    (void)state;
    if (type == ZOO_SESSION_EVENT) {
        return;
    }
    pthread_mutex_lock(&told->lock);
    if (told->count++ == 0) {
        told->type = type;
        snprintf(told->path, sizeof told->path, "%s", path);
    }
    pthread_cond_signal(&told->came);
    pthread_mutex_unlock(&told->lock);
}

static void was_told(const char *what, struct told *told, int type, const char *path) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_SECONDS;
    pthread_mutex_lock(&told->lock);
    while (told->count == 0 && pthread_cond_timedwait(&told->came, &told->lock, &until) == 0) {
    }
    int holds = told->count == 1 && told->type == type && strcmp(told->path, path) == 0;
    pthread_mutex_unlock(&told->lock);
    check(what, holds);
}

static zhandle_t *open_session(const char *address) {
    zhandle_t *zh = zookeeper_init(address, NULL, 10000, NULL, NULL, 0);
    check("a handle is made", zh != NULL);
    for (int i = 0; i < 300 && zoo_state(zh) != ZOO_CONNECTED_STATE; i++) {
        usleep(100 * 1000);
    }
    check("the client connects", zoo_state(zh) == ZOO_CONNECTED_STATE);
    return zh;
}

static void auth_done(int code, const void *context) {
    *(volatile int *)context = code == ZOK ? 1 : -1;
}

static char root[128];

static const char *below(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 256, "%s/%s", root, name);
    return path;
}

static void nodes(zhandle_t *zh) {
    char path[256];
    struct Stat stat, changed;
    must("create", zoo_create(zh, root, "root", 4, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
    check("create returns the path", strcmp(path, root) == 0);
    check("create refuses what exists",
          zoo_create(zh, root, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZNODEEXISTS);
    char data[64];
    int length = sizeof data;
    must("get", zoo_get(zh, root, 0, data, &length, &stat));
    check("get returns the data", length == 4 && memcmp(data, "root", 4) == 0 && stat.version == 0);
    must("set", zoo_set2(zh, root, "changed", 7, 0, &changed));
    must("exists", zoo_exists(zh, root, 0, &stat));
    check("set returns the Stat that exists shows", memcmp(&stat, &changed, sizeof stat) == 0);
    check("set refuses an old version", zoo_set(zh, root, "", 0, 0) == ZBADVERSION);
    must("create null data", zoo_create(zh, below("null"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    length = sizeof data;
    must("get null data", zoo_get(zh, below("null"), 0, data, &length, NULL));
    check("null data stays null", length == -1);
    char first[256], second[256];
    must("create a sequential",
         zoo_create(zh, below("seq-"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, first, sizeof first));
    must("create2 a sequential", zoo_create2(zh, below("seq-"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE,
                                             second, sizeof second, &stat));
    check("sequence numbers rise", strcmp(first, second) < 0 && stat.version == 0);
    struct String_vector children;
    must("get_children2", zoo_get_children2(zh, root, 0, &children, &stat));
    check("all children are listed", children.count == 3 && stat.numChildren == 3);
    deallocate_String_vector(&children);
    check("a parent is not deleted", zoo_delete(zh, root, -1) == ZNOTEMPTY);
    check("exists knows what is not there", zoo_exists(zh, below("nothing"), 0, NULL) == ZNONODE);
}

static void watches(zhandle_t *zh, zhandle_t *other) {
    const char *path = below("watched");
    struct told *created = nobody_told(), *child = nobody_told();
    struct told *changed = nobody_told(), *deleted = nobody_told();
    struct String_vector children;
    char data[64];
    int length = sizeof data;
    check("exists leaves a watch", zoo_wexists(zh, path, tell, created, NULL) == ZNONODE);
    must("get_children leaves a watch", zoo_wget_children(zh, root, tell, child, &children));
    deallocate_String_vector(&children);
    must("create by another", zoo_create(other, path, "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    was_told("an exists watch tells of the creation", created, ZOO_CREATED_EVENT, path);
    was_told("a child watch tells of the creation", child, ZOO_CHILD_EVENT, root);
    must("get leaves a watch", zoo_wget(zh, path, tell, changed, data, &length, NULL));
    must("set by another", zoo_set(other, path, "2", 1, -1));
    was_told("a data watch tells of the change", changed, ZOO_CHANGED_EVENT, path);
    length = sizeof data;
    must("get leaves a watch", zoo_wget(zh, path, tell, deleted, data, &length, NULL));
    must("delete by another", zoo_delete(other, path, -1));
    was_told("a data watch tells of the deletion", deleted, ZOO_DELETED_EVENT, path);
}

static void transactions(zhandle_t *zh) {
    const char *path = below("multi");
    char created[256];
    struct Stat stat;
    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    zoo_create_op_init(&ops[0], path, "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, created, sizeof created);
    zoo_set_op_init(&ops[1], path, "2", 1, 0, &stat);
    zoo_check_op_init(&ops[2], path, 1);
    must("multi", zoo_multi(zh, 3, ops, results));
    check("a multi returns its results", strcmp(created, path) == 0 && stat.version == 1);
    zoo_delete_op_init(&ops[0], path, -1);
    zoo_check_op_init(&ops[1], root, 99);
    check("a multi with a wrong version fails", zoo_multi(zh, 2, ops, results) == ZBADVERSION);
    check("it says which", results[0].err == ZOK && results[1].err == ZBADVERSION);
    must("a failed multi changes nothing", zoo_exists(zh, path, 0, NULL));
}

static void acls(zhandle_t *zh, zhandle_t *other) {
    volatile int done = 0;
    const char *path = below("private");
    must("add an identity", zoo_add_auth(zh, "digest", "ann:secret", 10, auth_done, (const void *)&done));
    for (int i = 0; i < LIMIT_SECONDS * 10 && done == 0; i++) {
        usleep(100 * 1000);
    }
    check("the identity is taken", done == 1);
    must("create for its creator", zoo_create(zh, path, "mine", 4, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    char data[64];
    int length = sizeof data;
    check("a stranger does not read", zoo_get(other, path, 0, data, &length, NULL) == ZNOAUTH);
    struct ACL_vector acl;
    struct Stat stat;
    must("get_acl", zoo_get_acl(zh, path, &acl, &stat));
    check("the ACL names its creator", acl.count == 1 && strcmp(acl.data[0].id.scheme, "digest") == 0);
    deallocate_ACL_vector(&acl);
    must("set_acl", zoo_set_acl(zh, path, stat.aversion, &ZOO_READ_ACL_UNSAFE));
    length = sizeof data;
    must("a stranger reads when the ACL says so", zoo_get(other, path, 0, data, &length, NULL));
}

static void ephemerals(zhandle_t *zh, zhandle_t *other) {
    const char *path = below("ephemeral");
    struct told *gone = nobody_told();
    struct Stat stat;
    must("create an ephemeral", zoo_create(other, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    must("exists leaves a watch", zoo_wexists(zh, path, tell, gone, &stat));
    check("an ephemeral names its session", stat.ephemeralOwner == zoo_client_id(other)->client_id);
    must("close the session", zookeeper_close(other));
    was_told("closing the session deletes it", gone, ZOO_DELETED_EVENT, path);
}

int main(int count, char **arguments) {
    if (count < 2) {
        return 2;
    }
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    snprintf(root, sizeof root, "/c-%d-%ld", getpid(), (long)time(NULL));
    zhandle_t *zh = open_session(arguments[1]), *other = open_session(arguments[1]);
    nodes(zh);
    watches(zh, other);
    transactions(zh);
    acls(zh, other);
    ephemerals(zh, other);
    must("close the session", zookeeper_close(zh));
    puts("all is well");
    return 0;
}
