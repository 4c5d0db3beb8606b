import java.util.concurrent.Callable;

/** The one way to check: a line per check that holds, and an end with status 1 at the first that does not. */
final class Checks {
    /** Seconds until an awaited event counts as lost. */
    static final int LIMIT = 20;

    private Checks() {
    }

    static void check(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
        System.out.println("ok " + what);
    }

    static void same(String what, Object expected, Object actual) {
        check(what + (expected.equals(actual) ? "" : ": expected " + expected + ", got " + actual), expected.equals(actual));
    }

    static void fails(String what, Class<? extends Exception> how, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (Exception error) {
            if (how.isInstance(error)) {
                System.out.println("ok " + what);
                return;
            }
            throw error;
        }
        throw new AssertionError(what + ": it succeeds");
    }

    /** Runs a scenario as a program: status 0 only when it comes to its end. */
    static void run(Scenario scenario, String connectString) {
        try {
            scenario.run(connectString);
        } catch (Throwable error) {
            error.printStackTrace(System.out);
            System.exit(1);
        }
        System.out.println("all is well");
        System.exit(0);
    }

    interface Scenario {
        void run(String connectString) throws Exception;
    }
}
