// What a service written against go-zookeeper/zk expects of its server. Takes the connect string.
package main

import (
	"bytes"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

const limit = 20 * time.Second

func check(what string, holds bool) {
	if !holds {
		fmt.Println("FAILED", what)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}

func must(what string, err error) {
	check(fmt.Sprintf("%s (%v)", what, err), err == nil)
}

func connect(address string) *zk.Conn {
	conn, events, err := zk.Connect(strings.Split(address, ","), 10*time.Second, zk.WithLogInfo(false))
	must("connect", err)
	for deadline := time.After(30 * time.Second); ; {
		select {
		case event := <-events:
			if event.State == zk.StateHasSession {
				go func() {
					for range events {
					}
				}()
				return conn
			}
		case <-deadline:
			check("the client gets a session", false)
		}
	}
}

func told(what string, events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		check(fmt.Sprintf("%s: %v %s", what, event.Type, event.Path), event.Type == kind && event.Path == path)
	case <-time.After(limit):
		check(what+": no event came", false)
	}
}

func main() {
	address := os.Args[1]
	conn, other := connect(address), connect(address)
	open := zk.WorldACL(zk.PermAll)
	root := fmt.Sprintf("/go-%d", time.Now().UnixNano())

	nodes(conn, root, open)
	watches(conn, other, root, open)
	transactions(conn, root, open)
	acls(conn, other, root)
	ephemerals(conn, other, root, open)
	locks(conn, connect(address), root, open)

	conn.Close()
	fmt.Println("all is well")
}

func nodes(conn *zk.Conn, root string, open []zk.ACL) {
	path, err := conn.Create(root, []byte("root"), 0, open)
	must("create", err)
	check("create returns the path", path == root)
	_, err = conn.Create(root, nil, 0, open)
	check("create refuses what exists", err == zk.ErrNodeExists)
	data, stat, err := conn.Get(root)
	must("get", err)
	check("get returns the data", string(data) == "root" && stat.Version == 0)
	changed, err := conn.Set(root, []byte("changed"), 0)
	must("set", err)
	exists, stat, err := conn.Exists(root)
	must("exists", err)
	check("set returns the Stat that exists shows", exists && *stat == *changed)
	_, err = conn.Set(root, nil, 0)
	check("set refuses an old version", err == zk.ErrBadVersion)
	big := bytes.Repeat([]byte{7}, 700_000)
	_, err = conn.Create(root+"/big", big, 0, open)
	must("create with 700 kB", err)
	data, _, err = conn.Get(root + "/big")
	must("get of 700 kB", err)
	check("700 kB come back", bytes.Equal(data, big))
	first, err := conn.Create(root+"/seq-", nil, zk.FlagSequence, open)
	must("create with a sequence number", err)
	second, err := conn.Create(root+"/seq-", nil, zk.FlagSequence, open)
	must("create with a sequence number", err)
	check("sequence numbers rise", first < second)
	children, _, err := conn.Children(root)
	must("children", err)
	sort.Strings(children)
	check("all children are listed", len(children) == 3 && children[0] == "big")
	check("a parent is not deleted", conn.Delete(root, -1) == zk.ErrNotEmpty)
	_, err = conn.Sync(root)
	must("sync", err)
	_, err = conn.CreateContainer(root+"/container", nil, zk.FlagContainer, open)
	must("create a container", err)
}

func watches(conn, other *zk.Conn, root string, open []zk.ACL) {
	path := root + "/watched"
	_, _, created, err := conn.ExistsW(path)
	must("exists with a watch", err)
	_, _, children, err := conn.ChildrenW(root)
	must("children with a watch", err)
	_, err = other.Create(path, []byte("1"), 0, open)
	must("create by another", err)
	told("an exists watch tells of the creation", created, zk.EventNodeCreated, path)
	told("a child watch tells of the creation", children, zk.EventNodeChildrenChanged, root)
	_, _, changed, err := conn.GetW(path)
	must("get with a watch", err)
	_, err = other.Set(path, []byte("2"), -1)
	must("set by another", err)
	told("a data watch tells of the change", changed, zk.EventNodeDataChanged, path)
	_, _, deleted, err := conn.GetW(path)
	must("get with a watch", err)
	must("delete by another", other.Delete(path, -1))
	told("a data watch tells of the deletion", deleted, zk.EventNodeDeleted, path)
}

func transactions(conn *zk.Conn, root string, open []zk.ACL) {
	path := root + "/multi"
	results, err := conn.Multi(
		&zk.CreateRequest{Path: path, Data: []byte("1"), Acl: open},
		&zk.SetDataRequest{Path: path, Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: path, Version: 1})
	must("multi", err)
	check("a multi has one result each", len(results) == 3 && results[0].String == path && results[1].Stat.Version == 1)
	_, err = conn.Multi(&zk.DeleteRequest{Path: path, Version: -1}, &zk.CheckVersionRequest{Path: root, Version: 99})
	check("a multi with a wrong version fails", err == zk.ErrBadVersion)
	exists, _, err := conn.Exists(path)
	must("exists", err)
	check("a failed multi changes nothing", exists)
}

func acls(conn, other *zk.Conn, root string) {
	path := root + "/private"
	must("add an identity", conn.AddAuth("digest", []byte("ann:secret")))
	_, err := conn.Create(path, []byte("mine"), 0, zk.DigestACL(zk.PermAll, "ann", "secret"))
	must("create with an ACL", err)
	acl, _, err := conn.GetACL(path)
	must("read the ACL", err)
	check("the ACL names its owner", len(acl) == 1 && acl[0].Scheme == "digest")
	_, _, err = other.Get(path)
	check("a stranger does not read", err == zk.ErrNoAuth)
	_, err = conn.SetACL(path, zk.WorldACL(zk.PermRead), 0)
	must("set the ACL", err)
	_, _, err = other.Get(path)
	must("a stranger reads when the ACL says so", err)
}

func ephemerals(conn, other *zk.Conn, root string, open []zk.ACL) {
	path := root + "/ephemeral"
	_, err := other.Create(path, nil, zk.FlagEphemeral, open)
	must("create an ephemeral", err)
	_, err = conn.Sync(root)
	must("sync", err)
	exists, stat, gone, err := conn.ExistsW(path)
	must("exists with a watch", err)
	check("an ephemeral names its session", exists && stat.EphemeralOwner == other.SessionID())
	other.Close()
	told("closing the session deletes it", gone, zk.EventNodeDeleted, path)
}

func locks(conn, second *zk.Conn, root string, open []zk.ACL) {
	mine, theirs := zk.NewLock(conn, root+"/lock", open), zk.NewLock(second, root+"/lock", open)
	must("take a free lock", mine.Lock())
	taken := make(chan error, 1)
	go func() { taken <- theirs.Lock() }()
	must("release it", mine.Unlock())
	select {
	case err := <-taken:
		must("take a released lock", err)
	case <-time.After(limit):
		check("take a released lock", false)
	}
	must("release it", theirs.Unlock())
	second.Close()
}
