import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * What ZooKeeper's own Java client keeps while one server takes the place of another at its address. Takes that address.
 * Whenever somebody else has changed /step, the watch that was left at the server before must tell of it; then session
 * and ephemeral must be what they were, a line `at STEP` is printed, and a watch is left for the next time. The step
 * `end` is the last.
 */
public final class ChangeoverClient {
    /** Seconds until an awaited event counts as missed. */
    private static final int LIMIT = 120;

    private ChangeoverClient() {
    }

    public static void main(String[] arguments) {
        Checks.run(ChangeoverClient::run, arguments[0]);
    }

    private static void run(String address) throws Exception {
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        ZooKeeper zk = new ZooKeeper(address, 60_000, event -> { });
        zk.create("/mine", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        zk.create("/step", "first".getBytes(UTF_8), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        long session = zk.getSessionId();
        String step;
        do {
            step = new String(zk.getData("/step", events::add, null), UTF_8);
            Checks.same("the session is the same at " + step, session, zk.getSessionId());
            Stat mine = zk.exists("/mine", false);
            Checks.check("its ephemeral is there", mine != null && mine.getEphemeralOwner() == session);
            zk.setData("/mine", step.getBytes(UTF_8), -1);
            System.out.println("at " + step);
        } while (!step.equals("end") && told(events));
        zk.close();
    }

    /** Waits for the change, over whatever else a watch is told of while a server is away. */
    private static boolean told(BlockingQueue<WatchedEvent> events) throws InterruptedException {
        WatchedEvent event;
        do {
            event = events.poll(LIMIT, TimeUnit.SECONDS);
            Checks.check("the watch hears something: " + event, event != null);
        } while (event.getType() == EventType.None);
        Checks.same("it hears of the change", EventType.NodeDataChanged, event.getType());
        return true;
    }
}
