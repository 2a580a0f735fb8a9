// The sink of commands has nothing of its own: it is tested with the outlet.
#include "observe/sinks.hpp"

#include "base/fd.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
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

Batch lines(const std::vector<std::string>& texts)
{
    Batch batch;
    for (const std::string& text : texts)
        batch.add(Level::info, ::time(nullptr), "postfix/qmgr[123]", text);
    return batch;
}

}  // namespace

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
    Outlet outlet(open_file("old"), LogForm::file, reader_patience);
    outlet.put_out(lines({"one"}));
    outlet.replace(open_file("new"), LogForm::file);
    outlet.put_out(lines({"two"}));
    CHECK(contents(folder.file("old")).find(": one\n") != std::string::npos);
    CHECK(contents(folder.file("new")).find(": two\n") != std::string::npos);
    CHECK(contents(folder.file("new")).find("postfix/qmgr[") != std::string::npos);

    outlet.replace(Fd(), LogForm::file);
    outlet.put_out(lines({"three"}));
    outlet.replace(open_file("last"), LogForm::file);
    outlet.put_out(lines({"four"}));
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
    Outlet outlet(std::move(writer), form, std::chrono::milliseconds{50});
    outlet.put_out(lines(std::vector<std::string>(60, "nobody reads this")));
    outlet.put_out(lines(std::vector<std::string>(40, "nobody reads this")));
    outlet.replace(Fd(::open(folder.file("new").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)), LogForm::file);
    outlet.put_out(lines({"here"}));
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
    Outlet outlet(std::move(writer), LogForm::file, std::chrono::milliseconds{50});
    outlet.put_out(lines({std::string(6000, 'y')}));
    taken.clear();
    for (char piece[65536];;) {
        const ssize_t got = ::read(reader.get(), piece, sizeof piece);
        if (got <= 0)
            break;
        taken.append(piece, static_cast<std::size_t>(got));
    }
    CHECK(taken.ends_with("yyy"));
    outlet.put_out(lines({"whole"}));
    taken.assign(65536, ' ');
    const ssize_t got = ::read(reader.get(), taken.data(), taken.size());
    REQUIRE(got > 0);
    taken.resize(static_cast<std::size_t>(got));
    CHECK(taken.starts_with("\n"));
    CHECK(taken.find("1 log lines were lost\n") != std::string::npos);
    CHECK(taken.ends_with(": whole\n"));
}

namespace {

Batch objects(const std::vector<std::string>& texts)
{
    Batch batch;
    for (const std::string& text : texts)
        batch.add(Level::info, 0, text);
    return batch;
}

}  // namespace

TEST_CASE("records: they stand in their file as they are; where there is none, nobody wanted them")
{
    LogFolder folder;
    Outlet outlet(Fd(), LogForm::record, std::chrono::milliseconds{50});
    outlet.put_out(objects({"{\"a\":1}"}));
    CHECK(outlet.take_lost_records() == 0);
    outlet.replace(Fd(::open(folder.file("records").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)), LogForm::record);
    outlet.put_out(objects({"{\"a\":2}", "{\"a\":3}"}));
    CHECK(contents(folder.file("records")) == "{\"a\":2}\n{\"a\":3}\n");
    CHECK(outlet.take_lost_records() == 0);
}

TEST_CASE("records: a file that takes no more has whole ones alone, and those lost are counted, not said in it")
{
    LogFolder folder;
    Outlet outlet(Fd(::open(folder.file("records").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)), LogForm::record,
                  std::chrono::milliseconds{50});
    const std::string one = "{\"a\":\"" + std::string(91, 'x') + "\"}";           // 100 with its line end
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto on_signal = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit full{.rlim_cur = 250, .rlim_max = before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
    outlet.put_out(objects({one, one, one, one}));
    outlet.put_out(objects({one, one}));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, on_signal);
    CHECK(contents(folder.file("records")) == one + "\n" + one + "\n");
    CHECK(outlet.take_lost_records() == 4);
    CHECK(outlet.take_lost_records() == 0);
    outlet.put_out(objects({"{\"whole\":1}"}));
    CHECK(contents(folder.file("records")) == one + "\n" + one + "\n{\"whole\":1}\n");
}

TEST_CASE("records: half of one that went into a pipe is not the beginning of the next")
{
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    Fd reader(ends[0]), writer(ends[1]);
    const std::string page(4096, 'x');
    while (::write(writer.get(), page.data(), page.size()) > 0) {
    }
    std::string taken(65536, ' ');
    REQUIRE(::read(reader.get(), taken.data(), page.size()) == 4096);
    Outlet outlet(std::move(writer), LogForm::record, std::chrono::milliseconds{50});
    outlet.put_out(objects({"{\"a\":\"" + std::string(6000, 'y') + "\"}"}));
    CHECK(outlet.take_lost_records() == 1);
    while (::read(reader.get(), taken.data(), taken.size()) > 0) {
    }
    outlet.put_out(objects({"{\"whole\":1}"}));
    const ssize_t got = ::read(reader.get(), taken.data(), taken.size());
    REQUIRE(got > 0);
    CHECK(taken.substr(0, static_cast<std::size_t>(got)) == "\n{\"whole\":1}\n");
    CHECK(outlet.take_lost_records() == 0);
}
