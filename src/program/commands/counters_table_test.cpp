#include "commands/counters_table.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace posthorn;

namespace {

process::ProcessCounters& add(process::InstanceCounters& all, const char* service, const char* program, std::int64_t pid)
{
    auto& one = *all.add_processes();
    one.set_service(service);
    one.set_program(program);
    one.set_process(pid);
    return one;
}

void count(process::ProcessCounters& one, const char* name, std::int64_t value)
{
    auto& counter = *one.add_counters();
    counter.set_name(name);
    counter.set_value(value);
}

}  // namespace

TEST_CASE("counters: processor time per message beside its budget, the sum per message of the queue, then what each counts")
{
    process::InstanceCounters all;
    count(add(all, "", "master", 10), "processor_microseconds", 500);
    auto& smtpd = add(all, "smtp/inet", "smtpd", 11);
    count(smtpd, "processor_microseconds", 70'000);
    count(smtpd, "messages", 2000);
    count(smtpd, "smtpd_sessions", 20);
    auto& qmgr = add(all, "qmgr", "qmgr", 12);
    count(qmgr, "processor_microseconds", 59'500);
    count(qmgr, "messages", 2000);
    add(all, "relay/unix", "smtp", 13);
    CHECK(commands::counters_table(all) == "service              program   process   messages       cpu us  us/message  budget\n"
                                           "-                    master         10          -          500           -       -\n"
                                           "smtp/inet            smtpd          11       2000        70000        35.0      35\n"
                                           "qmgr                 qmgr           12       2000        59500        29.8      30\n"
                                           "relay/unix           smtp           13          -            -           -      20\n"
                                           "all                                          2000       130000        65.0     100\n"
                                           "smtpd 11: smtpd_sessions 20\n");
}

TEST_CASE("counters: what a process makes up is shown as text, and sums stay in their range")
{
    process::InstanceCounters all;
    for (int i = 0; i < 2; ++i) {
        auto& qmgr = add(all, "qmgr", "qmgr", 12);
        count(qmgr, "processor_microseconds", std::numeric_limits<std::int64_t>::max());
        count(qmgr, "messages", std::numeric_limits<std::int64_t>::max());
        count(qmgr, "\x1b[2J\nall", 1);
    }
    const std::string table = commands::counters_table(all);
    CHECK(table.find("qmgr 12: ?[2J?all 1\n") != table.npos);
    CHECK(table.find("all                                    9223372036854775807 9223372036854775807         1.0     100\n") != table.npos);
}

TEST_CASE("counters: before the first message nothing is divided")
{
    process::InstanceCounters all;
    auto& qmgr = add(all, "qmgr", "qmgr", 12);
    count(qmgr, "processor_microseconds", 59);
    count(qmgr, "messages", 0);
    CHECK(commands::counters_table(all).ends_with("all                                             0           59           -     100\n"));
}
