#include "observe/address_form.hpp"
#include "observe/sinks.hpp"

#include "base/fd.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace posthorn;
using namespace posthorn::observe;

namespace {

struct LogFolder {
    LogFolder() { CHECK(::mkdtemp(path) != nullptr); }
    ~LogFolder() { std::filesystem::remove_all(path); }
    std::string file(const char* name) const { return std::string(path) + "/" + name; }
    char path[32] = "/tmp/posthorn-log.XXXXXX";
};

std::string contents(const std::string& path)
{
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("log: levels print as Postfix prints them, control characters never")
{
    auto sink = std::make_shared<MemorySink>();
    const Log log(sink, "postfix/smtp");
    log.info("plain {}", 1);
    log.warning("odd\r\n{}", "line");
    log.as("postfix/cleanup").fatal("end");
    CHECK(sink->lines == std::vector<std::string>{"postfix/smtp: plain 1", "postfix/smtp: warning: odd??line", "postfix/cleanup: fatal: end"});
}

TEST_CASE("syslog: one datagram a line, facility mail")
{
    LogFolder folder;
    Fd receiver(::socket(AF_UNIX, SOCK_DGRAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    folder.file("log").copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    auto sink = descriptor_sink(connect_syslog(folder.file("log")), LogForm::syslog);
    Log(sink, "postfix/smtpd").warning("hello");
    char buffer[256];
    const ssize_t count = ::recv(receiver.get(), buffer, sizeof buffer, 0);
    REQUIRE(count > 0);
    const std::string datagram(buffer, static_cast<std::size_t>(count));
    CHECK(datagram.starts_with("<20>"));                                   // mail.warning
    CHECK(datagram.find("postfix/smtpd[") != std::string::npos);
    CHECK(datagram.ends_with("]: warning: hello"));
}

TEST_CASE("a given descriptor: lines go on into the new one after it was replaced, and what was lost meanwhile is said")
{
    LogFolder folder;
    auto open_file = [&](const char* name) { return Fd(::open(folder.file(name).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)); };
    auto sink = descriptor_sink(open_file("old"), LogForm::file);
    Log log(sink, "postfix/qmgr");
    log.info("one");
    sink->flush();
    sink->replace(open_file("new"), LogForm::file);
    log.info("two");
    sink->flush();
    CHECK(contents(folder.file("old")).find(": one\n") != std::string::npos);
    CHECK(contents(folder.file("new")).find(": two\n") != std::string::npos);
    CHECK(contents(folder.file("new")).find("postfix/qmgr[") != std::string::npos);

    sink->replace(Fd(), LogForm::file);
    log.info("three");
    sink->flush();
    sink->replace(open_file("last"), LogForm::file);
    log.info("four");
    sink->flush();
    CHECK(contents(folder.file("last")).find("]: warning: 1 log lines were lost\n") != std::string::npos);
    CHECK(contents(folder.file("last")).find(": four\n") != std::string::npos);
}

TEST_CASE("a given descriptor: a reader that takes nothing holds up neither a new log nor the end of the process, and what it lost is said")
{
    LogFolder folder;
    Fd reader, writer;
    LogForm form{};
    std::string full(4096, 'x');
    SUBCASE("a pipe")
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        reader = Fd(ends[0]), writer = Fd(ends[1]);
        form = LogForm::file;
        while (::write(writer.get(), full.data(), full.size()) > 0) {
        }
        REQUIRE(::fcntl(writer.get(), F_SETFL, 0) == 0);
    }
    SUBCASE("a syslogd")
    {
        reader = Fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        folder.file("log").copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::bind(reader.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        writer = connect_syslog(folder.file("log"));
        form = LogForm::syslog;
        while (::send(writer.get(), full.data(), 64, MSG_DONTWAIT) > 0) {
        }
    }
    auto sink = descriptor_sink(std::move(writer), form, std::chrono::milliseconds{50});
    Log log(sink, "postfix/qmgr");
    for (int i = 0; i < 100; ++i)
        log.info("nobody reads {}", i);
    sink->flush();
    sink->replace(Fd(::open(folder.file("new").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)), LogForm::file);
    log.info("here");
    sink->flush();
    CHECK(contents(folder.file("new")).find("]: warning: 100 log lines were lost\n") != std::string::npos);
    CHECK(contents(folder.file("new")).find(": here\n") != std::string::npos);
}

TEST_CASE("a given descriptor: a line that was cut off is not the beginning of the next one")
{
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    Fd reader(ends[0]), writer(ends[1]);
    const std::string page(4096, 'x');
    while (::write(writer.get(), page.data(), page.size()) > 0) {
    }
    std::string taken(65536, ' ');
    REQUIRE(::read(reader.get(), taken.data(), page.size()) == 4096);       // room for one page, as on a disk that is nearly full
    auto sink = descriptor_sink(std::move(writer), LogForm::file, std::chrono::milliseconds{50});
    Log log(sink, "postfix/qmgr");
    log.info("{}", std::string(6000, 'y'));
    sink->flush();
    taken.clear();
    for (char piece[65536];;) {
        const ssize_t got = ::read(reader.get(), piece, sizeof piece);
        if (got <= 0)
            break;
        taken.append(piece, static_cast<std::size_t>(got));
    }
    CHECK(taken.ends_with("yyy"));
    log.info("whole");
    sink->flush();
    taken.assign(65536, ' ');
    const ssize_t got = ::read(reader.get(), taken.data(), taken.size());
    REQUIRE(got > 0);
    taken.resize(static_cast<std::size_t>(got));
    CHECK(taken.starts_with("\n"));
    CHECK(taken.find("1 log lines were lost\n") != std::string::npos);
    CHECK(taken.ends_with(": whole\n"));
}

TEST_CASE("log: where addresses are asked for in their internal form, quotes go, and nothing else changes")
{
    CHECK(with_internal_addresses(R"(4gD: from=<"a b"@x.test>, size=1)") == "4gD: from=<a b@x.test>, size=1");
    CHECK(with_internal_addresses(R"(4gD: to=<"a\"b\\c"@x.test>, orig_to=<"root x">, relay=none)") ==
          R"(4gD: to=<a"b\c@x.test>, orig_to=<root x>, relay=none)");
    for (const char* same : {R"(from=<plain@x.test> helo=<"a b">)", R"(<"a b"@x.test>: Relay access denied; from=<>)", R"(from=<"no end)",
                             R"(from=<"x" y>)", "=<\"", ""})
        CHECK(with_internal_addresses(same) == same);
    auto sink = std::make_shared<MemorySink>();
    const auto form = std::make_shared<AddressForm>(sink, "external");
    const Log log(form, "postfix/qmgr");
    log.info(R"(from=<"a b"@x.test>)");
    form->set("internal");
    log.info(R"(from=<"a b"@x.test>)");
    CHECK(sink->lines == std::vector<std::string>{R"(postfix/qmgr: from=<"a b"@x.test>)", "postfix/qmgr: from=<a b@x.test>"});
}
