#include "observe/log_collector.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

using namespace posthorn;
using namespace posthorn::observe;

namespace {

struct Office {
    Office() { REQUIRE(::mkdtemp(folder) != nullptr); }
    ~Office() { std::filesystem::remove_all(folder); }
    Fd file(const std::string& name = "log") const
    {
        return Fd(::open((std::string(folder) + "/" + name).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    }
    /// What was said: of each line what is behind the tag.
    std::vector<std::string> lines(const std::string& name = "log") const
    {
        std::ifstream in(std::string(folder) + "/" + name);
        std::vector<std::string> all;
        for (std::string line; std::getline(in, line);)
            all.push_back(line.substr(line.find("]: ") + 3));
        return all;
    }
    bool comes(const std::string& line, std::chrono::seconds within = std::chrono::seconds(20)) const
    {
        const auto until = std::chrono::steady_clock::now() + within;
        while (std::chrono::steady_clock::now() < until) {
            if (std::ranges::count(lines(), line) != 0)
                return true;
            ::usleep(5000);
        }
        return false;
    }
    char folder[40] = "/tmp/posthorn-collector.XXXXXX";
};

/// Another process with a ring. It does no more than write to it, and _exit.
pid_t process(const LogCollector::Ring& ring, const LogCollector& collector, const std::function<void(const Log&)>& work)
{
    const pid_t pid = ::fork();
    if (pid == 0) {
        auto mapped = map_log_ring(ring.memory);
        const Log log(std::make_shared<RingSink>(*std::move(mapped), collector.bell()), "postfix/smtpd");
        work(log);
        ::_exit(0);
    }
    return pid;
}

void ended(pid_t pid)
{
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
}

}  // namespace

TEST_CASE("log collector: lines of several processes stand in the order in which they were said, whoever came to write first")
{
    constexpr int writers = 3, rounds = 1500;
    Office office;
    {
        LogCollector collector(office.file(), LogForm::file);
        // A token goes round; who has it says the next number. Meanwhile all say other things.
        int pipes[writers][2];
        for (auto& ends : pipes)
            REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        std::vector<std::pair<pid_t, std::uint64_t>> all;
        for (int i = 0; i < writers; ++i) {
            auto ring = collector.ring();
            REQUIRE(ring);
            const pid_t pid = process(*ring, collector, [&](const Log& log) {
                for (int round = 0; round < rounds; ++round) {
                    int token = 0;
                    if (::read(pipes[i][0], &token, sizeof token) != sizeof token)
                        ::_exit(1);
                    log.info("token {}", token);
                    ++token;
                    (void)!::write(pipes[(i + 1) % writers][1], &token, sizeof token);
                    log.info("other");
                }
            });
            all.emplace_back(pid, ring->number);
        }
        int token = 0;
        REQUIRE(::write(pipes[0][1], &token, sizeof token) == sizeof token);
        for (const auto& [pid, number] : all) {
            ended(pid);
            collector.forget(number);
        }
        for (auto& ends : pipes)
            for (const int end : ends)
                ::close(end);
    }
    int next = 0, others = 0;
    for (const std::string& line : office.lines())
        if (line == "other")
            ++others;
        else
            REQUIRE(line == fmt::format("token {}", next++));
    CHECK(next == writers * rounds);
    CHECK(others == writers * rounds);
}

TEST_CASE("log collector: what a process said before it was killed is written")
{
    Office office;
    LogCollector collector(office.file(), LogForm::file);
    auto ring = collector.ring();
    REQUIRE(ring);
    const pid_t pid = process(*ring, collector, [](const Log& log) {
        log.info("one");
        log.fatal("two");
        ::kill(::getpid(), SIGKILL);
    });
    ended(pid);
    collector.forget(ring->number);
    CHECK(office.comes("fatal: two"));
    CHECK(office.lines() == std::vector<std::string>{"one", "fatal: two"});
}

TEST_CASE("log collector: who died amid a line, or stands still there, holds up the others for a moment and no longer")
{
    Office office;
    LogCollector collector(office.file(), LogForm::file);
    auto ring = collector.ring();
    REQUIRE(ring);
    char* const memory = static_cast<char*>(::mmap(nullptr, ring_octets, PROT_READ | PROT_WRITE, MAP_SHARED, ring->memory.get(), 0));
    REQUIRE(memory != MAP_FAILED);
    constexpr std::size_t at_work = 128;                    // log_ring.cpp's LogRing
    memory[at_work] = 1;
    const Log log(collector.own(), "postfix/master");
    const auto begin = std::chrono::steady_clock::now();
    log.info("before");
    CHECK(office.comes("before"));
    CHECK(std::chrono::steady_clock::now() - begin >= LogCollector::stuck_time);
    log.info("after");
    CHECK(office.comes("after"));
    // And its ring is another's no more once it has ended.
    collector.forget(ring->number);
    log.info("at last");
    CHECK(office.comes("at last"));
    ::munmap(memory, ring_octets);
}

TEST_CASE("log collector: another file from now on; its own end writes what is there")
{
    Office office;
    {
        LogCollector collector(office.file(), LogForm::file);
        const Log log(collector.own(), "postfix/master");
        log.info("one");
        CHECK(office.comes("one"));
        collector.replace(office.file("new"), LogForm::file);
        log.info("two");
    }
    CHECK(office.lines() == std::vector<std::string>{"one"});
    CHECK(office.lines("new") == std::vector<std::string>{"two"});
}

TEST_CASE(
    "log collector: records of all processes go into their own file, in the order in which they were said; a new file goes on where the old one ends")
{
    Office office;
    const auto records = [&](const std::string& name) {
        std::ifstream in(std::string(office.folder) + "/" + name);
        std::vector<std::string> all;
        for (std::string line; std::getline(in, line);)
            all.push_back(line);
        return all;
    };
    {
        LogCollector collector(office.file(), LogForm::file);
        const auto one = collector.own(), other = collector.own();
        one->record("{\"unwanted\":1}");
        one->write(Level::info, "postfix/qmgr[1]", "taken");
        REQUIRE(office.comes("taken"));
        collector.replace_records(office.file("first"), "postfix/master[1]");
        for (int i = 0; i < 1000; ++i) {
            (i % 2 == 0 ? one : other)->record(fmt::format("{{\"number\":{}}}", i));
            if (i == 500)
                collector.replace_records(office.file("second"), "postfix/master[1]");
        }
        one->write(Level::info, "postfix/qmgr[1]", "said");
    }
    auto all = records("first");
    const auto second = records("second");
    CHECK(second.size() >= 499);
    all.insert(all.end(), second.begin(), second.end());
    REQUIRE(all.size() == 1000);
    for (int i = 0; i < 1000; ++i)
        CHECK(all[static_cast<std::size_t>(i)] == fmt::format("{{\"number\":{}}}", i));
    CHECK(office.lines() == std::vector<std::string>{"taken", "said"});
}

TEST_CASE("log collector: records that their file does not take are said in the log")
{
    Office office;
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ::close(ends[0]);                                           // nobody reads
    std::signal(SIGPIPE, SIG_IGN);
    LogCollector collector(office.file(), LogForm::file, std::chrono::milliseconds(50));
    collector.replace_records(Fd(ends[1]), "postfix/master[1]");
    const auto sink = collector.own();
    sink->record("{\"number\":1}");
    CHECK(office.comes("warning: 1 records were lost: record_file took no more"));
}
