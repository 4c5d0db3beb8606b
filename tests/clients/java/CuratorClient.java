import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.CreateMode;

/** Curator's recipes on two clients of one server. Takes the connect string. */
public final class CuratorClient {
    private final String root = "/curator-" + UUID.randomUUID();
    private final CuratorFramework first;
    private final CuratorFramework second;

    private CuratorClient(String address) throws Exception {
        first = connect(address);
        second = connect(address);
    }

    public static void main(String[] arguments) {
        Checks.run(address -> new CuratorClient(address).run(), arguments[0]);
    }

    private static CuratorFramework connect(String address) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(address, 10_000, 10_000, new RetryOneTime(100));
        client.start();
        Checks.check("Curator connects", client.blockUntilConnected(30, TimeUnit.SECONDS));
        return client;
    }

    private void run() throws Exception {
        first.create().creatingParentContainersIfNeeded().forPath(root + "/deep/er");
        mutex();
        leader();
        cache();
        others();
        first.delete().deletingChildrenIfNeeded().forPath(root);
        first.close();
        second.close();
    }

    private void mutex() throws Exception {
        InterProcessMutex mine = new InterProcessMutex(first, root + "/lock");
        InterProcessMutex theirs = new InterProcessMutex(second, root + "/lock");
        Checks.check("a free lock is taken", mine.acquire(Checks.LIMIT, TimeUnit.SECONDS));
        CountDownLatch taken = new CountDownLatch(1);
        Thread waiting = new Thread(() -> {
            try {
                if (theirs.acquire(Checks.LIMIT, TimeUnit.SECONDS)) {
                    taken.countDown();
                    theirs.release();
                }
            } catch (Exception error) {
                error.printStackTrace(System.out);
            }
        });
        waiting.start();
        Checks.check("a held lock is not taken", !taken.await(500, TimeUnit.MILLISECONDS));
        mine.release();
        Checks.check("a released lock is taken", taken.await(Checks.LIMIT, TimeUnit.SECONDS));
        waiting.join();
    }

    private void leader() throws Exception {
        LeaderLatch leading = new LeaderLatch(first, root + "/leader", "first");
        leading.start();
        Checks.check("the first leads", leading.await(Checks.LIMIT, TimeUnit.SECONDS));
        LeaderLatch waiting = new LeaderLatch(second, root + "/leader", "second");
        waiting.start();
        Checks.check("there is one leader", !waiting.hasLeadership());
        Checks.same("the second knows who leads", "first", waiting.getLeader().getId());
        leading.close();
        Checks.check("the second follows the first", waiting.await(Checks.LIMIT, TimeUnit.SECONDS));
        waiting.close();
    }

    private void cache() throws Exception {
        String path = root + "/cache";
        first.create().forPath(path, "0".getBytes(UTF_8));
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        CountDownLatch ready = new CountDownLatch(1);
        CuratorCache cache = CuratorCache.build(first, path);
        cache.listenable().addListener(new org.apache.curator.framework.recipes.cache.CuratorCacheListener() {
            @Override
            public void event(Type type, org.apache.curator.framework.recipes.cache.ChildData before,
                    org.apache.curator.framework.recipes.cache.ChildData after) {
                told.add(type + " " + (after == null ? before : after).getPath());
            }

            @Override
            public void initialized() {
                ready.countDown();
            }
        });
        cache.start();
        Checks.check("the cache fills", ready.await(Checks.LIMIT, TimeUnit.SECONDS));
        // The cache reads again after an event: it tells of each change only if the next one waits for that.
        isTold(told, "NODE_CREATED " + path);
        second.create().forPath(path + "/a", "1".getBytes(UTF_8));
        isTold(told, "NODE_CREATED " + path + "/a");
        second.setData().forPath(path + "/a", "2".getBytes(UTF_8));
        isTold(told, "NODE_CHANGED " + path + "/a");
        second.delete().forPath(path + "/a");
        isTold(told, "NODE_DELETED " + path + "/a");
        cache.close();
    }

    private static void isTold(BlockingQueue<String> told, String event) throws InterruptedException {
        Checks.same("the cache tells", event, String.valueOf(told.poll(Checks.LIMIT, TimeUnit.SECONDS)));
    }

    private void others() throws Exception {
        DistributedAtomicLong counter = new DistributedAtomicLong(second, root + "/counter", new RetryOneTime(100));
        counter.increment();
        counter.add(4L);
        Checks.same("a counter counts", 5L, counter.get().postValue());
        DistributedBarrier barrier = new DistributedBarrier(first, root + "/barrier");
        barrier.setBarrier();
        DistributedBarrier same = new DistributedBarrier(second, root + "/barrier");
        Checks.check("a barrier holds", !same.waitOnBarrier(200, TimeUnit.MILLISECONDS));
        barrier.removeBarrier();
        Checks.check("a barrier opens", same.waitOnBarrier(Checks.LIMIT, TimeUnit.SECONDS));
        PersistentNode node = new PersistentNode(first, CreateMode.EPHEMERAL, false, root + "/node", "n".getBytes(UTF_8));
        node.start();
        Checks.check("a persistent ephemeral is created", node.waitForInitialCreate(Checks.LIMIT, TimeUnit.SECONDS));
        node.close();
    }
}
