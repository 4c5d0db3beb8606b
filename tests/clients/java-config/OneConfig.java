import java.io.File;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.jute.BinaryInputArchive;
import org.apache.zookeeper.common.ClientX509Util;
import org.apache.zookeeper.common.KeyStoreFileType;
import org.apache.zookeeper.common.QuorumX509Util;
import org.apache.zookeeper.common.X509Util;
import org.apache.zookeeper.common.ZKConfig;
import org.apache.zookeeper.metrics.MetricsProvider;
import org.apache.zookeeper.server.BlueThrottle;
import org.apache.zookeeper.server.EphemeralType;
import org.apache.zookeeper.server.NIOServerCnxnFactory;
import org.apache.zookeeper.server.ZooKeeperServer;
import org.apache.zookeeper.server.admin.AdminServer;
import org.apache.zookeeper.server.admin.AdminServerFactory;
import org.apache.zookeeper.server.admin.JettyAdminServer;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import org.apache.zookeeper.server.command.FourLetterCommands;
import org.apache.zookeeper.server.quorum.Observer;
import org.apache.zookeeper.server.quorum.QuorumPeer;
import org.apache.zookeeper.server.quorum.QuorumPeerConfig;

/** One configuration as ZooKeeper's classes understand it, field by field; or the reason why they refuse it. */
public final class OneConfig extends QuorumPeerConfig {
    private final Map<String, Object> fields = new TreeMap<>();

    private static final class Connections extends NIOServerCnxnFactory {
        Connections() {
            initMaxCnxns();
        }
    }

    public static String read(File file) {
        OneConfig config = new OneConfig();
        try {
            config.parse(file.getPath());
            config.tellFile();
            config.tellProperties();
        } catch (Exception | LinkageError e) {
            config.fields.clear();
            config.fields.put("refused", reason(e));
        }
        StringBuilder text = new StringBuilder();
        config.fields.forEach((name, value) ->
            text.append(name).append('=').append(String.valueOf(value).replace('\n', ' ')).append('\n'));
        return text.toString();
    }

    private static String reason(Throwable e) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
            text.append(text.length() == 0 ? "" : ": ").append(cause.getMessage());
        }
        return text.toString();
    }

    /** What parse() keeps. */
    private void tellFile() throws Exception {
        fields.put("id", serverId);
        fields.put("peerType", peerType.name().toLowerCase());
        fields.put("dataDir", dataDir);
        fields.put("dataLogDir", dataLogDir);
        fields.put("tickTime", tickTime);
        fields.put("initLimit", initLimit);
        fields.put("syncLimit", syncLimit);
        fields.put("connectLimit", connectToLearnerMasterLimit > 0 ? connectToLearnerMasterLimit : initLimit);
        fields.put("minSessionTimeout", minSessionTimeout);
        fields.put("maxSessionTimeout", maxSessionTimeout);
        fields.put("clientPort", endpoint(clientPortAddress));
        fields.put("secureClientPort", endpoint(secureClientPortAddress));
        fields.put("maxClientCnxns", limit(maxClientCnxns));
        fields.put("backlog", limit(clientPortListenBacklog));
        fields.put("localSessions", localSessionsEnabled);
        fields.put("localSessionsUpgrading", localSessionsUpgradingEnabled);
        fields.put("reconfig", isReconfigEnabled());
        fields.put("sslQuorum", sslQuorum);
        fields.put("quorumSasl", quorumLearnerRequireSasl);
        fields.put("observerMasterPort", limit(observerMasterPort));
        fields.put("members", members());
        if (metricsProviderClassName.endsWith("PrometheusMetricsProvider")) {
            Object provider = Class.forName(metricsProviderClassName).getConstructor().newInstance();
            ((MetricsProvider) provider).configure(metricsProviderConfiguration);
            fields.put("metrics", field(provider, "host") + ":" + field(provider, "port"));
            fields.put("metricsOfJvm", field(provider, "exportJvmInfo"));
        }
    }

    /** As in /zookeeper/config, in the order of the alphabet. */
    private String members() {
        List<String> lines = new ArrayList<>(List.of(quorumVerifier.toString().split("\n")));
        lines.sort(null);
        return String.join(" ", lines);
    }

    /** What parse() hands on as system properties, as those see it who ask for it. */
    private void tellProperties() throws Exception {
        Connections connections = new Connections();
        fields.put("maxCnxns", limit(connections.getMaxCnxns()));
        ZooKeeperServer server = new ZooKeeperServer();
        fields.put("globalOutstandingLimit", server.getGlobalOutstandingLimit());
        Method large = ZooKeeperServer.class.getDeclaredMethod("initLargeRequestThrottlingSettings");
        large.setAccessible(true);
        large.invoke(server);
        fields.put("largeRequestThreshold", limit(server.getLargeRequestThreshold()));
        if (server.getLargeRequestThreshold() > 0) {
            fields.put("largeRequestMaxBytes", server.getLargeRequestMaxBytes());
        }
        fields.put("digest", ZooKeeperServer.isDigestEnabled());
        fields.put("eagerAclCheck", ZooKeeperServer.isEnableEagerACLCheck());
        fields.put("skipAcl", field(ZooKeeperServer.class, null, "skipACL"));
        fields.put("extendedTypes", EphemeralType.extendedEphemeralTypesEnabled());
        fields.put("juteMaxBuffer", BinaryInputArchive.maxBuffer);
        long extra = ((Number) field(BinaryInputArchive.class, null, "extraMaxBuffer")).longValue();
        fields.put("recordBytesMax", BinaryInputArchive.maxBuffer + extra);
        fields.put("reconnectDelay", field(Observer.class, null, "reconnectDelayMs"));
        fields.put("digestScheme", DigestAuthenticationProvider.isEnabled());
        if (DigestAuthenticationProvider.isEnabled()) {
            fields.put("digestAlgorithm", field(DigestAuthenticationProvider.class, null, "DIGEST_ALGORITHM"));
        }
        tellThrottle();
        tellWords();
        tellAdmin();
        tellTls();
    }

    private void tellThrottle() {
        BlueThrottle throttle = new BlueThrottle();
        fields.put("throttleTokens", limit(throttle.getMaxTokens()));
        if (throttle.getMaxTokens() > 0) {
            fields.put("throttleFillTime", throttle.getFillTime());
            fields.put("throttleFillCount", throttle.getFillCount());
            fields.put("throttleFreezeTime", throttle.getFreezeTime());
            fields.put("throttleDropIncrease", throttle.getDropIncrease());
            fields.put("throttleDropDecrease", throttle.getDropDecrease());
            fields.put("throttleDecreaseRatio", throttle.getDecreasePoint());
        }
    }

    private void tellWords() {
        List<String> words = new ArrayList<>();
        String all = "conf cons crst dirs dump envi gtmk hash isro mntr ruok srst srvr stat stmk wchc wchp wchs";
        for (String word : all.split(" ")) {
            if (FourLetterCommands.isEnabled(word)) {
                words.add(word);
            }
        }
        fields.put("words", String.join(" ", words));
    }

    private void tellAdmin() throws Exception {
        AdminServer admin = AdminServerFactory.createAdminServer();
        if (!(admin instanceof JettyAdminServer)) {
            fields.put("admin", "none");
            return;
        }
        fields.put("admin", field(admin, "address") + ":" + field(admin, "port"));
        fields.put("adminIdleTimeout", field(admin, "idleTimeout"));
        fields.put("adminCommands", field(admin, "commandUrl"));
    }

    private void tellTls() {
        ZKConfig config = new ZKConfig();
        if (secureClientPortAddress != null) {
            tellTls("clients", config, new ClientX509Util());
        }
        if (sslQuorum) {
            tellTls("quorum", config, new QuorumX509Util());
        }
    }

    private void tellTls(String side, ZKConfig config, X509Util util) {
        fields.put(side + ".keyStore", store(
            config.getProperty(util.getSslKeystoreLocationProperty()),
            config.getProperty(util.getSslKeystoreTypeProperty())));
        fields.put(side + ".trustStore", store(
            config.getProperty(util.getSslTruststoreLocationProperty()),
            config.getProperty(util.getSslTruststoreTypeProperty())));
        String clientAuth = config.getProperty(util.getSslClientAuthProperty());
        fields.put(side + ".clientAuth", X509Util.ClientAuth.fromPropertyValue(clientAuth));
        boolean servers = util.isServerHostnameVerificationEnabled(config);
        fields.put(side + ".serverNames", servers);
        fields.put(side + ".clientNames", util.isClientHostnameVerificationEnabled(config));
        fields.put(side + ".reverseLookup", util.allowReverseDnsLookup(config));
    }

    /** JKS and PKCS12 are one: Java's key stores recognise either. */
    private static String store(String location, String type) {
        if (location == null) {
            return "none";
        }
        KeyStoreFileType kind = KeyStoreFileType.fromPropertyValueOrFileName(type, location);
        return (kind == KeyStoreFileType.PEM ? "pem " : "java ") + location;
    }

    /** What counts as no limit is none. */
    private static Object limit(int number) {
        return number > 0 ? number : "none";
    }

    /** Every unspecified address is the same. */
    private static String endpoint(InetSocketAddress address) {
        if (address == null) {
            return "none";
        }
        boolean any = address.getAddress() != null && address.getAddress().isAnyLocalAddress();
        String host = any ? "0.0.0.0" : QuorumPeer.QuorumServer.delimitedHostString(address);
        return host + ":" + address.getPort();
    }

    private static Object field(Object object, String name) throws Exception {
        return field(object.getClass(), object, name);
    }

    private static Object field(Class<?> owner, Object object, String name) throws Exception {
        Field field = owner.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(object);
    }
}
