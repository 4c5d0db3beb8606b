import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * The client of ZooKeeper 3.3: its connect request has no read-only byte, and it reads a connect response of
 * exactly 36 bytes. Takes the connect string.
 */
public final class OldClient implements Watcher {
    private final CountDownLatch connected = new CountDownLatch(1);
    private final LinkedBlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<WatchedEvent>();

    @Override
    public void process(WatchedEvent event) {
        if (event.getType() != Event.EventType.None) {
            events.add(event);
        } else if (event.getState() == Event.KeeperState.SyncConnected) {
            connected.countDown();
        }
    }

    private static void check(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
        System.out.println("ok " + what);
    }

    private void next(String what, Event.EventType type) throws InterruptedException {
        WatchedEvent event = events.poll(20, TimeUnit.SECONDS);
        check(what + ": " + event, event != null && event.getType() == type);
    }

    private void run(String address) throws Exception {
        ZooKeeper zk = new ZooKeeper(address, 10000, this);
        check("a client of 3.3 connects", connected.await(30, TimeUnit.SECONDS));
        String root = "/old-" + System.nanoTime();
        zk.create(root, "1".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.getData(root, true, null);
        Stat changed = zk.setData(root, "2".getBytes(), 0);
        next("a watch fires", Event.EventType.NodeDataChanged);
        Stat stat = new Stat();
        check("a read sees the write", new String(zk.getData(root, false, stat)).equals("2"));
        check("the Stats are equal", stat.equals(changed));
        zk.getChildren(root, true);
        List<String> names = new ArrayList<String>();
        for (int i = 0; i < 5; i++) {
            names.add(zk.create(root + "/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
        }
        next("a child watch fires", Event.EventType.NodeChildrenChanged);
        check("all children are listed", zk.getChildren(root, false).size() == 5);
        try {
            zk.create(root, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            check("create refuses what exists", false);
        } catch (KeeperException.NodeExistsException expected) {
            check("create refuses what exists", true);
        }
        zk.addAuthInfo("digest", "ann:secret".getBytes());
        zk.create(root + "/mine", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        check("the ACL names its creator", zk.getACL(root + "/mine", stat).get(0).getId().getScheme().equals("digest"));
        zk.delete(root + "/mine", -1);
        for (String name : names) {
            zk.delete(name, -1);
        }
        zk.delete(root, -1);
        check("what is deleted is gone", zk.exists(root, false) == null);
        long session = zk.getSessionId();
        zk.close();
        check("a session had an id", session != 0);
    }

    public static void main(String[] arguments) {
        try {
            new OldClient().run(arguments[0]);
        } catch (Throwable error) {
            error.printStackTrace(System.out);
            System.exit(1);
        }
        System.out.println("all is well");
        System.exit(0);
    }
}
