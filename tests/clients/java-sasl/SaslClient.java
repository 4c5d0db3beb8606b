import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;

/**
 * What users that log in with SASL may do, as ZooKeeper's own Java client sees it. Takes the connect string of a server
 * with the users bob and eve, each with the password NAME-secret.
 */
public final class SaslClient {
    private static final int LIMIT = 30;

    private SaslClient() {
    }

    public static void main(String[] arguments) {
        Checks.run(SaslClient::run, arguments[0]);
    }

    private static void run(String address) throws Exception {
        Path jaas = Files.createTempFile("client", ".jaas");
        try {
            Files.writeString(jaas, section("Bob", "bob", "bob-secret") + section("Eve", "eve", "eve-secret")
                + section("Wrong", "bob", "guess"));
            System.setProperty("java.security.auth.login.config", jaas.toString());
            // Java's client does not log in with MD5 in this mode, which it is in unless told otherwise.
            System.setProperty("zookeeper.fips-mode", "false");
            scenario(address);
        } finally {
            Files.delete(jaas);
        }
    }

    private static String section(String name, String user, String password) {
        return name + " { org.apache.zookeeper.server.auth.DigestLoginModule required username=\"" + user
            + "\" password=\"" + password + "\"; };\n";
    }

    private static void scenario(String address) throws Exception {
        BlockingQueue<KeeperState> states = new LinkedBlockingQueue<>();
        ZooKeeper bob = client(address, "Bob", states);
        await(states, KeeperState.SaslAuthenticated);
        List<ClientInfo> who = bob.whoAmI();
        Checks.check("bob is known as such: " + who, who.contains(new ClientInfo("sasl", "bob")));
        List<ACL> onlyBob = Arrays.asList(new ACL(Perms.ALL, new Id("sasl", "bob")));
        bob.create("/java-sasl", "bob's".getBytes(UTF_8), onlyBob, CreateMode.PERSISTENT);
        Checks.same("what bob may read he reads", "bob's", new String(bob.getData("/java-sasl", false, null), UTF_8));
        ZooKeeper eve = client(address, "Eve", states);
        await(states, KeeperState.SaslAuthenticated);
        Checks.fails("eve may not read it", KeeperException.NoAuthException.class,
            () -> eve.getData("/java-sasl", false, null));
        Checks.fails("nor write it", KeeperException.NoAuthException.class,
            () -> eve.setData("/java-sasl", new byte[0], -1));
        states.clear();
        ZooKeeper wrong = client(address, "Wrong", states);
        await(states, KeeperState.AuthFailed);
        wrong.close();
        bob.delete("/java-sasl", -1);
        eve.close();
        bob.close();
    }

    private static ZooKeeper client(String address, String section, BlockingQueue<KeeperState> states)
        throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, section);
        return new ZooKeeper(address, 10_000, event -> states.add(event.getState()), config);
    }

    private static void await(BlockingQueue<KeeperState> states, KeeperState awaited) throws InterruptedException {
        KeeperState state;
        do {
            state = states.poll(LIMIT, TimeUnit.SECONDS);
            Checks.check("the client hears of " + awaited + ", or of " + state + " before", state != null);
        } while (state != awaited);
    }
}
