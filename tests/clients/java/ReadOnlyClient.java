import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/**
 * What ZooKeeper's own Java client makes of a server that is read-only, and of the same server when it is not any more.
 * Takes the connect string of a server in read-only mode with a znode /left that holds "behind". Prints a line `reads`
 * when it is to be given its link back; then it must come to write by itself.
 */
public final class ReadOnlyClient {
    /** Seconds until an awaited state counts as missed. */
    private static final int LIMIT = 60;

    private ReadOnlyClient() {
    }

    public static void main(String[] arguments) {
        Checks.run(ReadOnlyClient::run, arguments[0]);
    }

    private static void run(String address) throws Exception {
        BlockingQueue<KeeperState> states = new LinkedBlockingQueue<>();
        ZooKeeper zk = new ZooKeeper(address, 10_000, event -> states.add(event.getState()), true);
        await(states, KeeperState.ConnectedReadOnly);
        Checks.same("it reads", "behind", new String(zk.getData("/left", true, null), UTF_8));
        Checks.check("what is not there is not there", zk.exists("/right", true) == null);
        Checks.check("it lists children", zk.getChildren("/", false).contains("left"));
        Checks.fails("a write is refused", KeeperException.NotReadOnlyException.class,
            () -> zk.setData("/left", new byte[0], -1));
        Checks.fails("a create is refused", KeeperException.NotReadOnlyException.class,
            () -> zk.create("/right", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        Checks.fails("a transaction is refused", KeeperException.NotReadOnlyException.class,
            () -> zk.multi(java.util.List.of(Op.check("/left", -1))));
        Checks.same("it still reads", "behind", new String(zk.getData("/left", false, null), UTF_8));
        System.out.println("reads");
        await(states, KeeperState.SyncConnected);
        zk.create("/java", "written".getBytes(UTF_8), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Checks.same("it writes as soon as its server does", "written",
            new String(zk.getData("/java", false, null), UTF_8));
        zk.close();
    }

    private static void await(BlockingQueue<KeeperState> states, KeeperState awaited) throws InterruptedException {
        KeeperState state;
        do {
            state = states.poll(LIMIT, TimeUnit.SECONDS);
            Checks.check("the client hears of " + awaited + ", or of " + state + " before", state != null);
        } while (state != awaited);
    }
}
