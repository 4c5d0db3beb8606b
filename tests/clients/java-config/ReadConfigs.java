import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/**
 * Lets ZooKeeper's own code read configurations. Argument: a directory whose subdirectories hold one each: zoo.cfg,
 * and the properties of a command line, key=value, in `definitions`. What was understood is left in `java.txt`.
 *
 * Settings end up in system properties and in static fields, so each configuration gets its own of both: the classes
 * are loaded anew.
 */
public final class ReadConfigs {
    public static void main(String[] arguments) throws Exception {
        Properties untouched = (Properties) System.getProperties().clone();
        URL[] path = classPath();
        for (File dir : new File(arguments[0]).listFiles(File::isDirectory)) {
            System.setProperties((Properties) untouched.clone());
            for (String definition : Files.readAllLines(new File(dir, "definitions").toPath())) {
                int end = definition.indexOf('=');
                System.setProperty(definition.substring(0, end), definition.substring(end + 1));
            }
            Files.writeString(new File(dir, "java.txt").toPath(), read(path, new File(dir, "zoo.cfg")));
        }
    }

    private static String read(URL[] path, File config) throws Exception {
        try (URLClassLoader loader = new URLClassLoader(path, ClassLoader.getPlatformClassLoader())) {
            Thread.currentThread().setContextClassLoader(loader);
            Class<?> reader = loader.loadClass("OneConfig");
            return (String) reader.getMethod("read", File.class).invoke(null, config);
        }
    }

    /** Our own, without what would write a log. */
    private static URL[] classPath() throws Exception {
        List<URL> path = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!entry.contains("reload4j")) {
                path.add(Path.of(entry).toUri().toURL());
            }
        }
        return path.toArray(URL[]::new);
    }
}
