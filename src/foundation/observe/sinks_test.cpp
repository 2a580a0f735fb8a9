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

struct Folder {
    Folder() { CHECK(::mkdtemp(path) != nullptr); }
    ~Folder() { std::filesystem::remove_all(path); }
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

TEST_CASE("maillog_file: lines carry time, host and tag, and a renamed file is opened again")
{
    Folder folder;
    auto sink = file_sink(folder.file("maillog"));
    REQUIRE(sink);
    const Log log(*sink, "postfix/qmgr");
    log.info("one");
    (*sink)->flush();
    std::filesystem::rename(folder.file("maillog"), folder.file("maillog.1"));
    log.info("two");
    (*sink)->flush();
    CHECK(contents(folder.file("maillog.1")).find(": one\n") != std::string::npos);
    CHECK(contents(folder.file("maillog")).find(": two\n") != std::string::npos);
    CHECK(contents(folder.file("maillog")).find("postfix/qmgr[") != std::string::npos);
}

TEST_CASE("maillog_file: a folder that is not there is an error with its name")
{
    const auto sink = file_sink("/nonexistent/maillog");
    REQUIRE_FALSE(sink);
    CHECK(sink.error().text() == "open maillog_file /nonexistent/maillog: No such file or directory");
}

TEST_CASE("syslog: one datagram a line, facility mail")
{
    Folder folder;
    Fd receiver(::socket(AF_UNIX, SOCK_DGRAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    folder.file("log").copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    auto sink = syslog_sink(folder.file("log"));
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
    Folder folder;
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

    sink->replace(Fd(), LogForm::file);
    log.info("three");
    sink->flush();
    sink->replace(open_file("last"), LogForm::file);
    log.info("four");
    sink->flush();
    CHECK(contents(folder.file("last")).find("]: warning: 1 log lines were lost\n") != std::string::npos);
    CHECK(contents(folder.file("last")).find(": four\n") != std::string::npos);
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
