#include "supervisor/process_table.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::supervisor;

namespace {

config::MasterCf parsed(std::string_view text)
{
    auto master = config::parse_master_cf(text, "/etc/postfix/master.cf");
    REQUIRE_MESSAGE(master, master.error().text());
    return *master;
}

const ProcessLine& line(const ProcessTable& table, std::string_view key)
{
    const auto found = std::ranges::find(table.lines, key, &ProcessLine::key);
    REQUIRE(found != table.lines.end());
    return *found;
}

// The services of Postfix's stock file, in our own arrangement.
constexpr std::string_view stock = R"(
smtp       inet       n  -  n  -     -  smtpd
submission inet       n  -  n  -     -  smtpd
  -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt
pickup     unix       n  -  n  60    1  pickup
cleanup    unix       n  -  n  -     0  cleanup
  -o header_checks=
qmgr       unix       n  -  n  300   1  qmgr
tlsmgr     unix       -  -  n  1000? 1  tlsmgr
rewrite    unix       -  -  n  -     -  trivial-rewrite
bounce     unix       -  -  n  -     0  bounce
defer      unix       -  -  n  -     0  bounce
trace      unix       -  -  n  -     0  bounce
verify     unix       -  -  n  -     1  verify
flush      unix       n  -  n  1000? 0  flush
proxymap   unix       -  -  n  -     -  proxymap
proxywrite unix       -  -  n  -     1  proxymap
smtp       unix       -  -  n  -     -  smtp
relay      unix       -  -  n  -     -  smtp
  -o syslog_name=${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name
showq      unix       n  -  n  -     -  showq
error      unix       -  -  n  -     -  error
retry      unix       -  -  n  -     -  error
discard    unix       -  -  n  -     -  discard
local      unix       -  n  n  -     -  local
virtual    unix       -  n  n  -     -  virtual
lmtp       unix       -  -  n  -     -  lmtp
anvil      unix       -  -  n  -     1  anvil
scache     unix       -  -  n  -     1  scache
postlog    unix-dgram n  -  n  -     1  postlogd
maildrop   unix       -  n  n  -     -  pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
)";

}  // namespace

TEST_CASE("process table: Postfix's stock master.cf becomes memory, qmgr, resolve, a server per inet line and a client per transport")
{
    const auto table = process_table(parsed(stock), {});
    REQUIRE_MESSAGE(table, table.error().text());
    std::string keys;
    for (const auto& process : table->lines)
        keys += process.key + " ";
    CHECK(keys == "memory qmgr resolve sasl smtp/inet submission/inet smtp/unix relay/unix local/unix virtual/unix lmtp/unix maildrop/unix ");
    CHECK(line(*table, "maildrop/unix").on_demand);
    // Cyrus SASL, where it is asked for, by each server's own options.
    CHECK(line(*table, "sasl").on_demand);
    CHECK(line(*table, "sasl").sockets.front().name == "private/posthorn.sasl");
    CHECK(line(*table, "sasl").folded.size() == 2);
    CHECK(line(*table, "sasl").folded[1].service == "submission");
    CHECK(!line(*table, "sasl").folded[1].overrides.empty());
    CHECK(line(*table, "maildrop/unix").process_limit == 100);   // each of its deliveries is a process
    CHECK_FALSE(line(*table, "relay/unix").on_demand);
    CHECK(table->warnings.empty());

    const auto& qmgr = line(*table, "qmgr");
    std::string sockets;
    for (const auto& socket : qmgr.sockets)
        sockets += socket.name + " ";
    CHECK(sockets == "private/posthorn.qmgr public/qmgr public/flush public/showq public/posthorn.queue ");
    CHECK(line(*table, "resolve").sockets[1].name == "public/pickup");
    CHECK(line(*table, "lmtp/unix").program == "lmtp");
    CHECK(line(*table, "smtp/inet").process_limit == 100);
    CHECK(line(*table, "smtp/unix").process_limit == 0);   // no number: nothing limits a transport's deliveries at once
    CHECK(table->transports.size() == 9);                  // smtp relay lmtp error retry discard local virtual maildrop
}

TEST_CASE("process table: pickup and qmgr of the old type fifo are woken by who connects, as postdrop does")
{
    const auto table = process_table(parsed("pickup fifo n - n 60 1 pickup\nqmgr fifo n - n 300 1 qmgr\n"), {});
    REQUIRE(table);
    for (const auto& [program, place] : {std::pair{"resolve", "public/pickup"}, {"qmgr", "public/qmgr"}}) {
        const auto line = std::ranges::find(table->lines, program, &ProcessLine::program);
        REQUIRE(line != table->lines.end());
        const auto socket = std::ranges::find(line->sockets, place, [](const auto& one) { return one.name; });
        REQUIRE(socket != line->sockets.end());
        CHECK(socket->type == config::Transport::unix_stream);
    }
}

TEST_CASE("process table: options of a line stay with it, and those of cleanup go to all who do its work")
{
    const auto table = process_table(parsed(stock), {});
    REQUIRE(table);
    CHECK(line(*table, "submission/inet").overrides.size() == 2);
    CHECK(line(*table, "smtp/inet").overrides.empty());
    const auto has_cleanup = [&](std::string_view key) {
        for (const auto& folded : line(*table, key).folded)
            if (folded.service == "cleanup")
                return folded.overrides.size() == 1 && folded.overrides[0].name == "header_checks";
        return false;
    };
    CHECK(has_cleanup("resolve"));
    CHECK(has_cleanup("smtp/inet"));
    CHECK(has_cleanup("submission/inet"));
    CHECK_FALSE(has_cleanup("relay/unix"));
}

TEST_CASE("process table: of several lines qmgr or trivial-rewrite the one with the usual name speaks for all mail")
{
    const std::string_view usual =
        "qmgr unix n - n 300 1 qmgr\n -o syslog_name=mail\nrewrite unix - - n - - trivial-rewrite\n -o local_transport=lmtp\n";
    const std::string_view second = "watch_qmgr unix n - n 300 1 qmgr\n -o syslog_name=watch\n"
                                    "watch_rewrite unix - - n - - trivial-rewrite\n -o local_transport=discard\n";
    const auto option_of = [](std::string_view text, std::string_view key) {
        const auto table = process_table(parsed(text), {});
        REQUIRE_MESSAGE(table, table.error().text());
        REQUIRE(line(*table, key).overrides.size() == 1);
        return line(*table, key).overrides[0].value;
    };
    for (const std::string& text : {std::string(usual).append(second), std::string(second).append(usual)}) {
        CHECK(option_of(text, "qmgr") == "mail");
        CHECK(option_of(text, "resolve") == "lmtp");
    }
    CHECK(option_of(second, "qmgr") == "watch");                  // it has no other
    CHECK(option_of(second, "resolve") == "discard");
}

TEST_CASE("process table: what cannot run is an error with file, line and service")
{
    const auto error_of = [](std::string_view text) {
        const auto table = process_table(parsed(text), {});
        return table ? std::string() : table.error().text();
    };
    CHECK(error_of("smtp inet n - n - - nosuch\n") == "/etc/postfix/master.cf: line 1: service \"smtp\": unknown command \"nosuch\"");
    CHECK(error_of("pickup unix n - n - - pickup\npickup fifo n - n - - pickup\n") ==
          "/etc/postfix/master.cf: line 2: service \"pickup/fifo\" listens where another line listens already");
    CHECK(error_of("smtp inet n - n - - smtp\n") == "/etc/postfix/master.cf: line 1: service \"smtp\": smtp needs the type unix");
    CHECK(error_of("x unix - - n - - spawn user=nobody argv=/bin/cat\n") ==
          "/etc/postfix/master.cf: line 1: service \"x\": this program requires root privileges: the unprivileged column must be n");
    CHECK(error_of("x unix - n n - - spawn argv=/bin/cat\n") == "/etc/postfix/master.cf: line 1: service \"x\": spawn needs user= and argv=");
    CHECK(error_of("qmgr inet n - n - - qmgr\n") == "/etc/postfix/master.cf: line 1: service \"qmgr\": qmgr cannot serve a inet socket");
}

TEST_CASE("process table: an empty file still runs queue, routing and memory, and says which lines it missed")
{
    const auto table = process_table(parsed("\n"), {});
    REQUIRE(table);
    CHECK(table->lines.size() == 4);
    CHECK(table->warnings.size() == 4);
    CHECK(line(*table, "resolve").sockets[1].name == "public/pickup");
}

TEST_CASE("process table: master_service_disable takes lines out by name, type or both")
{
    TableOptions options;
    options.disabled = {"smtp.inet", "lmtp/unix"};
    const auto table = process_table(parsed(stock), options);
    REQUIRE(table);
    const auto has = [&](std::string_view key) { return std::ranges::find(table->lines, key, &ProcessLine::key) != table->lines.end(); };
    CHECK_FALSE(has("smtp/inet"));
    CHECK_FALSE(has("lmtp/unix"));
    CHECK(has("smtp/unix"));
    CHECK(has("submission/inet"));
}

TEST_CASE("process table: never more processes than the limit column allows sessions")
{
    TableOptions options;
    options.smtpd_processes = 8;
    const auto table = process_table(parsed("25 inet n - n - 1 smtpd\n26 inet n - n - 0 smtpd\n"), options);
    REQUIRE(table);
    CHECK(line(*table, "25/inet").processes == 1);
    CHECK(line(*table, "26/inet").processes == 8);         // 0: no limit
}

TEST_CASE("process table: a line postscreen is one smtpd that tests its clients, with the options and the limit of the line behind it")
{
    TableOptions options;
    options.smtpd_processes = 8;
    const std::string text = "25 inet n - n - 1 postscreen -o postscreen_greet_wait=3s\nsmtpd pass - - n - 7 smtpd -o myhostname=a.test\n"
                             "dnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n26 inet n - n - 1 smtpd\n";
    const auto table = process_table(parsed(text), options);
    REQUIRE(table);
    CHECK(std::ranges::none_of(table->warnings, [](const std::string& warning) { return warning.find("postscreen") != warning.npos; }));
    const ProcessLine& screened = line(*table, "25/inet");
    CHECK(screened.program == "smtpd");
    CHECK(screened.processes == 1);
    CHECK(screened.process_limit == 7);
    REQUIRE(screened.overrides.size() == 3);
    CHECK(screened.overrides[0].name == "postscreen_greet_wait");
    CHECK(screened.overrides[1].name == "myhostname");
    CHECK(screened.overrides[2].name == "smtpd_screen_clients");
    CHECK(line(*table, "26/inet").overrides.empty());
    // memory, which keeps who passed, hears of its options: they say where.
    REQUIRE(line(*table, "memory").folded.size() == 1);
    CHECK(line(*table, "memory").folded[0].service == "25");
    CHECK(line(*table, "memory").folded[0].overrides.size() == 3);
}

TEST_CASE("process table: a number in a transport's limit column limits it, and \"-\" does not")
{
    const auto table =
        process_table(parsed("smtp unix - - n - - smtp\nslow unix - - n - 20 smtp\nlmtp unix - - n - 0 lmtp\n25 inet n - n - - smtpd\n"), {});
    REQUIRE(table);
    CHECK(line(*table, "smtp/unix").process_limit == 0);
    CHECK(line(*table, "slow/unix").process_limit == 20);
    CHECK(line(*table, "lmtp/unix").process_limit == 0);
    CHECK(line(*table, "25/inet").process_limit == 100);
}

TEST_CASE("process table: behind the first word that is no option all arguments are the program's")
{
    const auto table = process_table(parsed("x unix - n n - - spawn -v -o command_time_limit=5s user=nobody argv=/bin/program -v -o y -D\n"), {});
    REQUIRE_MESSAGE(table, table.error().text());
    CHECK(line(*table, "x/unix").arguments == std::vector<std::string>{"user=nobody", "argv=/bin/program", "-v", "-o", "y", "-D"});
    CHECK(line(*table, "x/unix").overrides.size() == 1);
    CHECK(line(*table, "x/unix").verbose == 1);
}

TEST_CASE("process table: a line of the service inject is a server like smtpd's, and can do what that can")
{
    const auto table = process_table(parsed("127.0.0.1:8000 inet n - n - 2 inject\n  -o inject_timeout=2s\n"), {});
    REQUIRE(table);
    const ProcessLine& inject = line(*table, "127.0.0.1:8000/inet");
    CHECK(inject.role == Role::smtpd);
    CHECK(inject.program == "inject");
    CHECK(inject.process_limit == 2);
    CHECK(inject.overrides.size() == 1);
    CHECK_FALSE(process_table(parsed("inject fifo n - n - - inject\n"), {}));
}

TEST_CASE("process table: a line qmqpd is a server like smtpd's; cleanup's options are its own as well")
{
    const auto table = process_table(parsed("628 inet n - y - - qmqpd\n  -o qmqpd_timeout=2s\ncleanup unix n - - - 0 cleanup\n"), {});
    REQUIRE(table);
    CHECK(table->warnings.size() == process_table(parsed("cleanup unix n - - - 0 cleanup\n"), {})->warnings.size());
    const ProcessLine& qmqpd = line(*table, "628/inet");
    CHECK(qmqpd.role == Role::smtpd);
    CHECK(qmqpd.program == "qmqpd");
    CHECK(qmqpd.chroot);
    CHECK(qmqpd.overrides.size() == 1);
    CHECK(std::ranges::count(qmqpd.folded, "cleanup", &FoldedInto::command) == 1);
}

TEST_CASE("process table: records are posted by a process of its own, where they are to be")
{
    const auto without = process_table(parsed(""), {}), with = process_table(parsed(""), {.hook = true});
    REQUIRE((without && with));
    CHECK(std::ranges::count(without->lines, Role::hook, &ProcessLine::role) == 0);
    CHECK(line(*with, "hook").role == Role::hook);
    CHECK(line(*with, "hook").processes == 1);
    CHECK_FALSE(line(*with, "hook").on_demand);
    CHECK(line(*with, "hook").sockets.empty());
}

TEST_CASE(
    "process table: the reports of others are read by a process of its own, where there are addresses for them; its name is not for other transports")
{
    const auto without = process_table(parsed(""), {}), with = process_table(parsed(""), {.reports = true});
    REQUIRE((without && with));
    CHECK(std::ranges::count(without->lines, "reports", &ProcessLine::program) == 0);
    CHECK(line(*with, "reports").role == Role::transport);
    CHECK(line(*with, "reports").processes == 1);
    CHECK_FALSE(line(*with, "reports").privileged);
    REQUIRE(line(*with, "reports").sockets.size() == 1);
    CHECK(line(*with, "reports").sockets.front().name == "private/posthorn.reports");
    CHECK(std::ranges::count(with->transports, "reports") == 1);
    const auto taken = process_table(parsed("reports unix - n n - - pipe user=nobody argv=/bin/true\n"), {.reports = true});
    REQUIRE_FALSE(taken);
    CHECK(taken.error().text().ends_with("the service \"reports\" has the name of the one that report_addresses starts: give it another"));
    CHECK(process_table(parsed("reports unix - n n - - pipe user=nobody argv=/bin/true\n"), {}));
}

TEST_CASE("process table: a line of the admin service is one process with its socket; a socket that it cannot serve is refused")
{
    const auto table = process_table(parsed("127.0.0.1:8025 inet n - n - 9 admin\n  -o admin_timeout=2s\nadmin unix n - n - - admin\n"), {});
    REQUIRE(table);
    const ProcessLine& over_tcp = line(*table, "127.0.0.1:8025/inet");
    CHECK(over_tcp.role == Role::admin);
    CHECK(over_tcp.program == "admin");
    CHECK(over_tcp.processes == 1);                                    // what it keeps of rates is of one process
    CHECK(over_tcp.overrides.size() == 1);
    REQUIRE(over_tcp.sockets.size() == 1);
    CHECK(over_tcp.sockets.front().name == "127.0.0.1:8025");
    CHECK(line(*table, "admin/unix").sockets.front().name == "public/admin");
    const auto refused = process_table(parsed("admin fifo n - n - - admin\n"), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().text() == "/etc/postfix/master.cf: line 1: service \"admin\": admin cannot serve a fifo socket");
}
