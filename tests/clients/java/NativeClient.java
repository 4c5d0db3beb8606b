import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** What a service written against ZooKeeper's own Java client expects of its server. Takes the connect string. */
public final class NativeClient {
    private static final int TIMEOUT_MS = 10_000;

    private final String address;
    private final String root = "/java-" + UUID.randomUUID();
    private final ZooKeeper zk;
    private final ZooKeeper other;

    private NativeClient(String address) throws Exception {
        this.address = address;
        zk = connect(address);
        other = connect(address);
    }

    public static void main(String[] arguments) {
        Checks.run(address -> new NativeClient(address).run(), arguments[0]);
    }

    private void run() throws Exception {
        nodes();
        kindsOfNodes();
        oneShotWatches();
        persistentWatches();
        removedWatches();
        transactions();
        reads();
        identities();
        order();
        movedSession();
        ephemerals();
        zk.delete(root + "/left", -1);
        zk.close();
    }

    /** Keeps what a watcher is told, in order. */
    private static final class Told implements Watcher {
        final BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != EventType.None) {
                events.add(event);
            }
        }

        WatchedEvent next(String what) throws InterruptedException {
            WatchedEvent event = events.poll(Checks.LIMIT, TimeUnit.SECONDS);
            Checks.check(what + " (an event comes)", event != null);
            return event;
        }

        void next(String what, EventType type, String path) throws InterruptedException {
            WatchedEvent event = next(what);
            Checks.same(what, type + " " + path, event.getType() + " " + event.getPath());
        }
    }

    private static ZooKeeper connect(String address) throws Exception {
        return connected(watcher -> new ZooKeeper(address, TIMEOUT_MS, watcher));
    }

    private interface Opening {
        ZooKeeper open(Watcher watcher) throws Exception;
    }

    private static ZooKeeper connected(Opening opening) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper client = opening.open(event -> {
            if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        Checks.check("the client connects", connected.await(30, TimeUnit.SECONDS));
        return client;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    private String create(String path, String data, CreateMode mode) throws Exception {
        return zk.create(path, bytes(data), Ids.OPEN_ACL_UNSAFE, mode);
    }

    private void nodes() throws Exception {
        Stat created = new Stat();
        zk.create(root, bytes("root"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, created);
        Stat read = new Stat();
        Checks.same("the data comes back", "root", new String(zk.getData(root, false, read), UTF_8));
        Checks.same("create2 returns the Stat that getData shows", created, read);
        Checks.fails("create refuses what exists", KeeperException.NodeExistsException.class,
            () -> create(root, "", CreateMode.PERSISTENT));
        Checks.fails("an invalid version is refused", KeeperException.BadVersionException.class,
            () -> zk.setData(root, bytes("x"), 17));
        Stat changed = zk.setData(root, bytes("more"), 0);
        Checks.same("setData returns the Stat that exists shows", changed, zk.exists(root, false));
        Checks.check("mzxid moves, czxid stays", changed.getMzxid() > changed.getCzxid() && changed.getCzxid() == created.getCzxid());
        zk.create(root + "/null", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create(root + "/empty", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Checks.check("null data stays null", zk.getData(root + "/null", false, null) == null);
        Checks.same("empty data stays empty", 0, zk.getData(root + "/empty", false, null).length);
        byte[] big = new byte[1_000_000];
        Arrays.fill(big, (byte) 7);
        zk.create(root + "/big", big, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Checks.check("a megabyte comes back", Arrays.equals(big, zk.getData(root + "/big", false, null)));
        Checks.same("all children are listed", new TreeSet<>(List.of("null", "empty", "big")),
            new TreeSet<>(zk.getChildren(root, false)));
        Checks.fails("a parent is not deleted", KeeperException.NotEmptyException.class, () -> {
            zk.delete(root, -1);
            return null;
        });
        Checks.fails("what is not there cannot be read", KeeperException.NoNodeException.class,
            () -> zk.getData(root + "/nothing", false, null));
        Checks.check("exists knows what is not there", zk.exists(root + "/nothing", false) == null);
    }

    private void kindsOfNodes() throws Exception {
        String first = create(root + "/seq-", "", CreateMode.PERSISTENT_SEQUENTIAL);
        String second = create(root + "/seq-", "", CreateMode.EPHEMERAL_SEQUENTIAL);
        Checks.check("sequence numbers rise", first.compareTo(second) < 0);
        Checks.same("an ephemeral belongs to its session", zk.getSessionId(), zk.exists(second, false).getEphemeralOwner());
        Checks.fails("an ephemeral has no children", KeeperException.NoChildrenForEphemeralsException.class,
            () -> create(second + "/child", "", CreateMode.PERSISTENT));
        Stat stat = new Stat();
        String lasting = root + "/ttl";
        zk.create(lasting, bytes("t"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 3_600_000);
        Checks.same("a TTL znode has no owner", 0L, stat.getEphemeralOwner());
        Checks.same("a TTL znode is there", "t", new String(zk.getData(lasting, false, null), UTF_8));
        create(root + "/container", "", CreateMode.CONTAINER);
        create(root + "/container/child", "", CreateMode.PERSISTENT);
        Checks.same("a container has children", List.of("child"), zk.getChildren(root + "/container", false));
        Checks.same("a container has no owner", 0L, zk.exists(root + "/container", false).getEphemeralOwner());
    }

    private void oneShotWatches() throws Exception {
        String path = root + "/watched";
        Told told = new Told();
        zk.exists(path, told);
        Stat created = new Stat();
        zk.create(path, bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, created);
        told.next("exists tells of the creation", EventType.NodeCreated, path);
        zk.getData(path, told, null);
        Stat changed = other.setData(path, bytes("2"), -1);
        WatchedEvent event = told.next("getData tells of the change");
        Checks.same("it is a change of data", EventType.NodeDataChanged, event.getType());
        Checks.same("the event carries the zxid of the change", changed.getMzxid(), event.getZxid());
        zk.getChildren(path, told);
        create(path + "/child", "", CreateMode.PERSISTENT);
        told.next("getChildren tells of a child", EventType.NodeChildrenChanged, path);
        zk.delete(path + "/child", -1);
        zk.getData(path, told, null);
        zk.getChildren(path, told);
        zk.delete(path, -1);
        told.next("both watches tell of the deletion once", EventType.NodeDeleted, path);
        other.exists(root, false);
        zk.sync(root, (rc, synced, context) -> { }, null);
        zk.exists(root, false);
        Checks.check("one-shot watches fire once", told.events.isEmpty());
    }

    private void persistentWatches() throws Exception {
        String path = root + "/persistent";
        Told single = new Told();
        Told recursive = new Told();
        zk.addWatch(path, single, AddWatchMode.PERSISTENT);
        zk.addWatch(path, recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        create(path, "", CreateMode.PERSISTENT);
        create(path + "/a", "", CreateMode.PERSISTENT);
        create(path + "/a/b", "", CreateMode.PERSISTENT);
        zk.setData(path + "/a/b", bytes("x"), -1);
        zk.setData(path, bytes("y"), -1);
        zk.delete(path + "/a/b", -1);
        zk.delete(path + "/a", -1);
        single.next("a persistent watch sees the creation", EventType.NodeCreated, path);
        single.next("it sees a new child", EventType.NodeChildrenChanged, path);
        single.next("it sees a change", EventType.NodeDataChanged, path);
        single.next("it sees a child go", EventType.NodeChildrenChanged, path);
        recursive.next("a recursive watch sees the creation", EventType.NodeCreated, path);
        recursive.next("it sees a child", EventType.NodeCreated, path + "/a");
        recursive.next("it sees a grandchild", EventType.NodeCreated, path + "/a/b");
        recursive.next("it sees a grandchild change", EventType.NodeDataChanged, path + "/a/b");
        recursive.next("it sees itself change", EventType.NodeDataChanged, path);
        recursive.next("it sees a grandchild go", EventType.NodeDeleted, path + "/a/b");
        recursive.next("it sees a child go", EventType.NodeDeleted, path + "/a");
        zk.removeWatches(path, single, WatcherType.Any, false);
        zk.removeWatches(path, recursive, WatcherType.Any, false);
    }

    private void removedWatches() throws Exception {
        Told told = new Told();
        zk.getData(root, told, null);
        zk.removeWatches(root, told, WatcherType.Data, false);
        WatchedEvent event = told.next("a removed watch says so");
        Checks.same("it says which it was", EventType.DataWatchRemoved, event.getType());
        Checks.fails("there is nothing more to remove", KeeperException.NoWatcherException.class, () -> {
            zk.removeWatches(root, told, WatcherType.Data, false);
            return null;
        });
    }

    private void transactions() throws Exception {
        String path = root + "/multi";
        List<OpResult> results = zk.multi(List.of(
            Op.create(path, bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create(path + "/child", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.setData(path, bytes("2"), 0),
            Op.check(path, 1),
            Op.delete(path + "/child", 0)));
        Checks.same("a multi has one result each", 5, results.size());
        Checks.same("a create returns its path", path, ((OpResult.CreateResult) results.get(0)).getPath());
        Checks.same("a setData returns its Stat", 1, ((OpResult.SetDataResult) results.get(2)).getStat().getVersion());
        try {
            zk.multi(List.of(Op.delete(path, -1), Op.check(root, 99), Op.delete(root, -1)));
            throw new AssertionError("a multi with a wrong version succeeds");
        } catch (KeeperException.BadVersionException error) {
            List<Integer> codes = new ArrayList<>();
            for (OpResult result : error.getResults()) {
                codes.add(((OpResult.ErrorResult) result).getErr());
            }
            Checks.same("a failed multi says what failed and why",
                List.of(0, Code.BADVERSION.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()), codes);
        }
        Checks.check("a failed multi changes nothing", zk.exists(path, false) != null);
    }

    private void reads() throws Exception {
        List<OpResult> results = zk.multi(List.of(Op.getData(root), Op.getChildren(root + "/multi"), Op.getData(root + "/none")));
        Checks.same("multiRead reads data", "more", new String(((OpResult.GetDataResult) results.get(0)).getData(), UTF_8));
        Checks.same("multiRead lists children", List.of(), ((OpResult.GetChildrenResult) results.get(1)).getChildren());
        Checks.same("multiRead says what is missing", Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(2)).getErr());
        create(root + "/count", "", CreateMode.PERSISTENT);
        create(root + "/count/a", "", CreateMode.PERSISTENT);
        create(root + "/count/a/b", "", CreateMode.PERSISTENT);
        Checks.same("getAllChildrenNumber counts all below", 2, zk.getAllChildrenNumber(root + "/count"));
        String ephemeral = create(root + "/count/e", "", CreateMode.EPHEMERAL);
        Checks.same("getEphemerals lists them below a path", List.of(ephemeral), zk.getEphemerals(root + "/count"));
        Checks.check("getEphemerals lists them all", zk.getEphemerals().contains(ephemeral));
        String config = new String(zk.getConfig(false, null), UTF_8);
        Checks.check("the configuration names the voters", config.contains("server.1=") && config.contains("version="));
        CountDownLatch synced = new CountDownLatch(1);
        zk.sync(root, (rc, path, context) -> {
            if (rc == 0 && path.equals(root)) {
                synced.countDown();
            }
        }, null);
        Checks.check("sync comes back", synced.await(Checks.LIMIT, TimeUnit.SECONDS));
        Stat stat = new Stat();
        zk.getData("/zookeeper/config", false, stat);
        Checks.same("getACL of the configuration", Perms.READ, zk.getACL("/zookeeper/config", null).get(0).getPerms());
    }

    private void identities() throws Exception {
        List<ClientInfo> strangers = other.whoAmI();
        Checks.same("without a password one is an address", "ip", strangers.get(0).getAuthScheme());
        zk.addAuthInfo("digest", bytes("ann:secret"));
        boolean ann = false;
        for (ClientInfo info : zk.whoAmI()) {
            ann |= info.getAuthScheme().equals("digest") && info.getUser().equals("ann");
        }
        Checks.check("whoAmI knows the user and not the password", ann);
        String path = root + "/private";
        zk.create(path, bytes("mine"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Checks.fails("strangers do not read", KeeperException.NoAuthException.class, () -> other.getData(path, false, null));
        Checks.fails("strangers do not write", KeeperException.NoAuthException.class, () -> other.setData(path, null, -1));
        Checks.fails("strangers do not see the ACL", KeeperException.NoAuthException.class, () -> other.getACL(path, null));
        Stat stat = new Stat();
        List<ACL> acl = zk.getACL(path, stat);
        Checks.same("the creator is in the ACL", "digest", acl.get(0).getId().getScheme());
        zk.setACL(path, Collections.singletonList(new ACL(Perms.READ, new Id("world", "anyone"))), stat.getAversion());
        Checks.same("setACL opens it", "mine", new String(other.getData(path, false, null), UTF_8));
        Checks.fails("an ACL without entries is refused", KeeperException.InvalidACLException.class,
            () -> zk.create(root + "/no-acl", null, List.of(), CreateMode.PERSISTENT));
    }

    /** Answers come in the order of the requests, writes and reads alike. */
    private void order() throws Exception {
        int count = 500;
        List<Integer> answered = Collections.synchronizedList(new ArrayList<>());
        List<String> wrong = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch all = new CountDownLatch(count * 2);
        for (int i = 0; i < count; i++) {
            int number = i;
            zk.setData(root, bytes("" + number), -1, (rc, path, context, stat) -> {
                answered.add(number * 2);
                all.countDown();
            }, null);
            zk.getData(root, false, (rc, path, context, data, stat) -> {
                answered.add(number * 2 + 1);
                if (!new String(data, UTF_8).equals("" + number)) {
                    wrong.add("read " + new String(data, UTF_8) + " after writing " + number);
                }
                all.countDown();
            }, null);
        }
        Checks.check("a thousand requests in flight are answered", all.await(60, TimeUnit.SECONDS));
        Checks.same("each read sees the write before it", List.of(), wrong);
        List<Integer> sorted = new ArrayList<>(answered);
        Collections.sort(sorted);
        Checks.same("answers come in the order of requests", sorted, answered);
    }

    private void movedSession() throws Exception {
        ZooKeeper first = connect(address);
        String path = first.create(root + "/moved", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        ZooKeeper second = connected(watcher ->
            new ZooKeeper(address, TIMEOUT_MS, watcher, first.getSessionId(), first.getSessionPasswd()));
        Checks.same("a session can be opened again", first.getSessionId(), second.getSessionId());
        Checks.same("its ephemerals are still there", first.getSessionId(), second.exists(path, false).getEphemeralOwner());
        second.setData(path, bytes("x"), -1);
        second.close();
        Checks.check("closing it deletes them", zk.exists(path, false) == null);
    }

    private void ephemerals() throws Exception {
        String path = root + "/ephemeral";
        other.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Told told = new Told();
        zk.sync("/", (rc, synced, context) -> { }, null);
        zk.exists(path, told);
        other.close();
        told.next("closing the session deletes its ephemerals", EventType.NodeDeleted, path);
        zk.create(root + "/left", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }
}
