// The supervisor's journey: start, crash, throttle, reload, broker, log rotation, watchdog, stop; as whoever runs the test.
#include "instance.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

using namespace std::chrono_literals;
using posthorn::house::Instance;

namespace {
void start_and_wait_for(Instance& instance, std::string_view mail_name, unsigned services = 4)
{
    instance.start();
    REQUIRE_MESSAGE(instance.logged("confined: ", services), (instance.said() + instance.log()));
    for (const char* program : {"memory", "qmgr", "resolve"})
        REQUIRE(instance.ask(program, "config mail_name") == mail_name);        // accepted: it is ready
}
void start_and_wait(Instance& instance, unsigned services = 4) { start_and_wait_for(instance, "Posthorn", services); }
}  // namespace

TEST_CASE("start and stop: the log says so in Postfix's words, master.pid is locked meanwhile, every service ends in order")
{
    Instance instance;
    instance.master_cf("127.0.0.1:0 inet n - n - - smtpd\nsmtp unix - - n - - smtp\n");
    start_and_wait(instance, 5);
    CHECK(instance.logged("postfix/master["));
    CHECK(instance.logged(fmt::format("daemon started -- version 3.7.11, configuration {}", instance.path("conf"))));
    Instance second;
    second.write("conf/main.cf", [&] {
        std::ifstream file(instance.path("conf/main.cf"));
        return std::string(std::istreambuf_iterator<char>(file), {});
    }());
    second.start();
    CHECK(second.wait_for_end() == 1);
    CHECK(second.said() == "posthorn-master: fatal: the Postfix mail system is already running\n");

    instance.signal(SIGTERM);
    CHECK(instance.wait_for_end() == 0);
    CHECK(instance.logged("terminating on signal 15"));
    CHECK(instance.logged("prober stopped", 5));
    INFO(instance.log());
    CHECK(instance.log().find("warning: process") == std::string::npos);
    CHECK(::access(instance.path("queue/public/qmgr").c_str(), F_OK) != 0);
    // Who takes mail in before who delivers it: else the queue has nobody to give it to, and puts it off.
    std::vector<std::string> order;
    std::istringstream log(instance.log());
    for (std::string line; std::getline(log, line);)
        if (line.find("prober stopped") != line.npos)
            order.push_back(line.substr(line.find("postfix/") + 8, line.find('[') - line.find("postfix/") - 8));
    CHECK(order == std::vector<std::string>{"smtpd", "smtp", "resolve", "qmgr", "memory"});
}

TEST_CASE("start: a small limit of open files is enough, and one that is too small is the reason in the log")
{
    Instance few;
    few.start(64);
    CHECK_MESSAGE(few.logged("confined: ", 4), (few.said() + few.log()));
    few.signal(SIGTERM);
    CHECK(few.wait_for_end() == 0);

    Instance too_few;
    too_few.start(34);                                                 // some for the master itself: a sanitizer ends it where it finds none
    const auto said_why = [&] {                                        // the process could not be given them, or not even be started
        return too_few.logged("it needs more open files than the limit of 34 leaves", 1, 1s) || too_few.logged("Too many open files", 1, 1s);
    };
    bool why = false;
    for (int second = 0; second < 10 && !why; ++second)
        why = said_why();
    CHECK_MESSAGE(why, (too_few.said() + too_few.log()));
    too_few.signal(SIGTERM);
    CHECK(too_few.wait_for_end() == 0);
}

TEST_CASE("crash: a killed service is back at once, and its socket was there all the time")
{
    Instance instance;
    start_and_wait(instance);
    const auto before = instance.processes("qmgr");
    REQUIRE(before.size() == 1);
    std::this_thread::sleep_for(200ms);
    ::kill(before[0], SIGKILL);
    CHECK(instance.ask("qmgr", "config mail_name") == "Posthorn");              // waited in the socket's queue
    CHECK(instance.logged(fmt::format("warning: process {}/qmgr pid {} killed by signal 9", "/usr/lib/posthorn/sbin", before[0])));
    const auto after = instance.processes("qmgr");
    REQUIRE(after.size() == 1);
    CHECK(after[0] != before[0]);
    instance.ask("memory", "exit 3");
    CHECK(instance.logged("memory pid "));
    CHECK(instance.logged(" exit status 3"));
    CHECK(instance.ask("memory", "config mail_name") == "Posthorn");
}

TEST_CASE("throttle: a service that fails while starting is tried again ever later, and the others serve")
{
    Instance instance;
    instance.main_cf("mail_name = die smtp");
    instance.start();
    CHECK(instance.logged("fatal: told to die while starting", 3));
    CHECK(instance.logged("warning: /usr/lib/posthorn/sbin/smtp: bad command startup -- throttling", 3));
    CHECK(instance.logged("exit status 1", 3));
    CHECK(instance.ask("qmgr", "config mail_name") == "die smtp");
    instance.signal(SIGTERM);
    CHECK(instance.wait_for_end() == 0);
}

TEST_CASE("reload: a broken configuration is refused with file, line and reason, and everything runs on as it was")
{
    Instance instance;
    start_and_wait(instance);
    const auto smtp = instance.processes("smtp"), qmgr = instance.processes("qmgr");
    instance.main_cf("mail_name = New\ndefault_process_limit = many");
    instance.signal(SIGHUP);
    CHECK(instance.logged("reload refused: the running configuration stays"));
    CHECK(instance.logged("default_process_limit"));
    CHECK(instance.logged(fmt::format("error: {}, line 13", instance.path("conf/main.cf"))));
    instance.main_cf("mail_name = New");
    instance.master_cf("smtp unix - - n - - smtp\nbroken line\n");
    instance.signal(SIGHUP);
    CHECK(instance.logged("reload refused: the running configuration stays", 2));
    // A service that refuses takes the others back with it.
    instance.main_cf("mail_name = refuse me");
    instance.master_cf("smtp unix - - n - - smtp\n");
    instance.signal(SIGHUP);
    CHECK(instance.logged("the prober refuses this value"));
    CHECK(instance.logged("reload refused: the running configuration stays", 3));
    CHECK(instance.log().find("reload -- version") == std::string::npos);
    for (const char* program : {"memory", "qmgr", "resolve"})
        CHECK(instance.ask(program, "config mail_name") == "Posthorn");
    CHECK(instance.processes("smtp") == smtp);
    CHECK(instance.processes("qmgr") == qmgr);
}

TEST_CASE("reload: queue, routing and memory take it in place, delivery gets a new generation, new lines listen and old ones go")
{
    Instance instance;
    instance.master_cf("smtp unix - - n - - smtp\nold unix - - n - - lmtp\n");
    start_and_wait(instance, 5);
    const auto qmgr = instance.processes("qmgr"), smtp = instance.processes("smtp");
    CHECK(instance.ask("qmgr", "heartbeat x") == "10");
    instance.main_cf("mail_name = New\nservice_watchdog_time = 15s");
    instance.master_cf("smtp unix - - n - - smtp\nrelay unix - - n - - smtp\n");
    instance.signal(SIGHUP);
    CHECK(instance.logged(fmt::format("reload -- version 3.7.11, configuration {}", instance.path("conf"))));
    CHECK(instance.logged("generation 2", 2));
    CHECK(instance.logged("prober stopped", 2));                               // the old smtp and the line that went
    CHECK(instance.ask("qmgr", "config mail_name") == "New");
    CHECK(instance.processes("qmgr") == qmgr);
    CHECK(instance.ask("qmgr", "heartbeat x") == "5");                         // else its silence would soon be too long
    CHECK(instance.processes("lmtp").empty());
    const auto now = instance.processes("smtp");
    CHECK(now.size() == 2);
    CHECK(std::ranges::find(now, smtp.front()) == now.end());
    // What starts from now on starts with what is now in force.
    instance.ask("memory", "exit 1");
    CHECK(instance.ask("memory", "config mail_name") == "New");
}

TEST_CASE("reload: at most two old generations live; the third ends within service_stop_time, and so does each when all is stopped")
{
    Instance instance;
    instance.main_cf("mail_name = Lingering 0");
    start_and_wait_for(instance, "Lingering 0");
    const auto first = instance.processes("smtp");
    for (int reload = 1; reload <= 3; ++reload) {
        instance.main_cf(fmt::format("mail_name = Lingering {}", reload));
        instance.signal(SIGHUP);
        REQUIRE_MESSAGE(instance.logged(fmt::format("generation {}", reload + 1)), instance.log());
        if (reload == 2)
            CHECK(instance.processes("smtp").size() == 3);
    }
    CHECK(instance.logged("prober hurries", 1));
    CHECK(instance.logged("prober stopped", 1));
    std::this_thread::sleep_for(300ms);
    const auto left = instance.processes("smtp");
    CHECK(left.size() == 3);
    CHECK(std::ranges::find(left, first.front()) == left.end());
    instance.signal(SIGTERM);
    CHECK(instance.wait_for_end() == 0);
    CHECK(instance.logged("prober hurries", 3));
    CHECK(instance.log().find("did not end in time") == std::string::npos);
}

TEST_CASE("broker: a file that the configuration names is passed, whatever its mode for the service; another is not; a change is told")
{
    Instance instance;
    instance.write("secret", "user:password");
    ::chmod(instance.path("secret").c_str(), 0600);
    instance.main_cf("smtp_sasl_password_maps = texthash:" + instance.path("secret"));
    start_and_wait(instance);
    CHECK(instance.ask("memory", "broker " + instance.path("secret")) == "user:password");
    CHECK(instance.ask("memory", "broker /etc/shadow") == "the configuration does not name this file");
    CHECK(instance.ask("memory", "changed x") == "nothing");
    instance.write("secret.new", "user:other");
    REQUIRE(::rename(instance.path("secret.new").c_str(), instance.path("secret").c_str()) == 0);
    for (int i = 0; i < 100 && instance.ask("memory", "changed x") == "nothing"; ++i)
        std::this_thread::sleep_for(100ms);
    CHECK(instance.ask("memory", "changed x") == instance.path("secret") + " changed");
}

TEST_CASE("log: after a rotation all processes write into the new file")
{
    Instance instance;
    start_and_wait(instance);
    REQUIRE(::rename(instance.path("maillog").c_str(), instance.path("maillog.1").c_str()) == 0);
    std::this_thread::sleep_for(2500ms);
    instance.signal(SIGTERM);
    CHECK(instance.wait_for_end() == 0);
    CHECK(instance.logged("terminating on signal 15"));
    CHECK(instance.logged("prober stopped", 4));
}

TEST_CASE("a hostile service: garbage on its control channel ends that service, not the supervisor")
{
    Instance instance;
    start_and_wait(instance);
    const auto before = instance.processes("memory");
    instance.ask("memory", "flood x");
    CHECK(instance.logged("confined: ", 5, 40s));                              // a new one was started
    CHECK(instance.ask("qmgr", "config mail_name") == "Posthorn");
    CHECK(instance.processes("memory") != before);
}

TEST_CASE("watchdog: a service that hangs is killed and started again")
{
    Instance instance;
    instance.main_cf("service_watchdog_time = 15s");
    start_and_wait(instance);
    CHECK(instance.logged("heartbeat 5"));                                     // three of them within the time
    const auto before = instance.processes("resolve");
    REQUIRE(before.size() == 1);
    ::kill(before[0], SIGSTOP);
    CHECK(instance.logged("gives no sign of life -- killed by the watchdog", 1, 40s));
    CHECK(instance.ask("resolve", "config mail_name") == "Posthorn");
}

TEST_CASE("start: wrong files and values are all named, and nothing is left behind")
{
    Instance instance;
    instance.main_cf("default_process_limit = many\nsmtpd_processes = -1\nservice_throttle_time = 5 fortnights");
    instance.start();
    CHECK(instance.wait_for_end() == 78);
    const std::string said = instance.said();
    for (const char* name : {"default_process_limit", "smtpd_processes", "service_throttle_time"})
        CHECK_MESSAGE(said.find(name) != std::string::npos, said);
    CHECK(::access(instance.path("queue").c_str(), F_OK) != 0);
}

TEST_CASE("the supervisor gone: its services end by themselves, and the next one starts at once")
{
    Instance instance;
    start_and_wait(instance);
    instance.signal(SIGKILL);
    CHECK(instance.wait_for_end() == 137);
    CHECK(instance.logged("prober stopped", 4));
    start_and_wait(instance, 8);
}
