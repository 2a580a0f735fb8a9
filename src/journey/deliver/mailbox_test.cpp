#include "deliver/mailbox.hpp"

#include "base/fd.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

using namespace posthorn;
using namespace posthorn::deliver;

namespace {

struct Folder {
    Folder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "posthorn-mailbox.XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()));
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path;
};

MailboxJob job(const std::string& path)
{
    MailboxJob made;
    made.path = path;
    made.owner = "user";
    made.how.quote_from = made.how.blank_end = made.how.return_path = true;
    made.names.sender = "s@x.test";
    made.lock.fcntl = made.lock.dotlock = true;
    made.lock.attempts = 1;
    return made;
}

std::string content(const std::filesystem::path& path)
{
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

std::size_t files_in(const std::filesystem::path& path)
{
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path))
        ++count;
    return count;
}

const Message message("Subject: a\r\n\r\nFrom here\r\n");
constexpr std::string_view as_mbox = "Return-Path: <s@x.test>\nSubject: a\n\n>From here\n\n";

}  // namespace

TEST_CASE("mailbox: a maildir is made, and the message is in new/ alone, under a name of its own")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/deep/er/");
    one.how = {.return_path = true};
    for (int count = 1; count <= 3; ++count) {
        CHECK(deliver_to_mailbox(one, message) == Fate::delivered("delivered to maildir"));
        CHECK(files_in(one.path + "new") == static_cast<std::size_t>(count));
        CHECK(files_in(one.path + "tmp") == 0);
    }
    const auto file = *std::filesystem::directory_iterator(one.path + "new");
    CHECK(content(file.path()) == "Return-Path: <s@x.test>\nSubject: a\n\nFrom here\n");
    CHECK((std::filesystem::status(file.path()).permissions() & std::filesystem::perms::all) ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

TEST_CASE("mailbox: a maildir is served where files cannot be renamed to a free name, as on NFS")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/dir/");
    one.how = {.return_path = true};
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        // The kernel's answer there.
        sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        const sock_fprog program{.len = 4, .filter = filter};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
            ::_exit(2);
        ::_exit(deliver_to_mailbox(one, message).end == Fate::End::delivered ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(files_in(one.path + "tmp") == 0);
    REQUIRE(files_in(one.path + "new") == 1);
    const auto file = *std::filesystem::directory_iterator(one.path + "new");
    CHECK(content(file.path()) == "Return-Path: <s@x.test>\nSubject: a\n\nFrom here\n");
}

TEST_CASE("mailbox: messages stand one behind the other in an mbox file, and the lock file is gone")
{
    const Folder folder;
    const MailboxJob one = job(folder.path + "/user");
    CHECK(deliver_to_mailbox(one, message) == Fate::delivered("delivered to mailbox"));
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::delivered);
    CHECK(content(one.path) == std::string(as_mbox) + std::string(as_mbox));
    CHECK(files_in(folder.path) == 1);
}

TEST_CASE("mailbox: who looks at new mail is told where it begins in an mbox file; nobody who listens changes nothing")
{
    const Folder folder;
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof here;
    REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&here), length) == 0);
    REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&here), &length) == 0);
    const auto heard = [&] {
        char text[100];
        const ssize_t got = ::recv(socket.get(), text, sizeof text, MSG_DONTWAIT);
        return got < 0 ? std::string() : std::string(text, static_cast<std::size_t>(got));
    };
    MailboxJob one = job(folder.path + "/mbox");
    deliver_to_mailbox(one, message);
    CHECK(heard().empty());
    one.biff_port = ntohs(here.sin_port);
    deliver_to_mailbox(one, message);
    CHECK(heard() == fmt::format("user@{}", as_mbox.size()));
    one.size_limit = 10;
    CHECK(deliver_to_mailbox(one, message).status == "5.2.2");
    CHECK(heard().empty());
    MailboxJob maildir = job(folder.path + "/dir/");
    maildir.biff_port = one.biff_port;
    CHECK(deliver_to_mailbox(maildir, message).status == "2.0.0");
    CHECK(heard().empty());
}

TEST_CASE("mailbox: half a message, left by a crash, does not swallow the next one")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/user");
    one.how = {.from_line = true};
    std::ofstream(one.path) << "From a@x.test  Thu Jan  1 00:00:00 2026\n\nhal";
    REQUIRE(deliver_to_mailbox(one, message).end == Fate::End::delivered);
    CHECK(content(one.path).find("\nhal\n\nFrom s@x.test  ") != std::string::npos);
    const std::string whole = content(one.path);
    one.size_limit = whole.size() + 10;
    CHECK(deliver_to_mailbox(one, message).status == "5.2.2");
    CHECK(content(one.path) == whole);
}

TEST_CASE("mailbox: one that was put aside while its lock was waited for defers the mail")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/user");
    one.lock = {.flock = true};
    std::ofstream(one.path) << "";
    const Fd held(::open(one.path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(::flock(held.get(), LOCK_EX) == 0);
    Fate fate;
    std::thread delivery([&] { fate = deliver_to_mailbox(one, message); });
    const std::filesystem::path whole_path = std::filesystem::canonical(one.path);
    const auto opened = [&] {
        std::size_t count = 0;
        std::error_code gone;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
            count += std::filesystem::read_symlink(entry.path(), gone) == whole_path;
        return count > 1;
    };
    for (int tries = 0; tries < 10'000 && !opened(); ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    CHECK(opened());
    std::filesystem::remove(one.path);
    REQUIRE(::flock(held.get(), LOCK_UN) == 0);
    delivery.join();
    CHECK(fate.end == Fate::End::deferred);
    CHECK(fate.text.find("destination is gone") != std::string::npos);
}

TEST_CASE("mailbox: what does not fit is cut back to the octet, and returned")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/user");
    REQUIRE(deliver_to_mailbox(one, message).end == Fate::End::delivered);
    one.size_limit = as_mbox.size() * 2 - 1;
    CHECK(deliver_to_mailbox(one, message) == Fate::bounced("5.2.2", "cannot update mailbox " + one.path + " for user user. File too large"));
    CHECK(content(one.path) == as_mbox);
    one.size_limit = as_mbox.size() * 2;
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::delivered);
    // A large one is in the file in part by the time the limit is met.
    one.size_limit = 300'000;
    CHECK(deliver_to_mailbox(one, Message("Subject: b\r\n\r\n" + std::string(400'000, 'x'))).status == "5.2.2");
    CHECK(content(one.path).size() == as_mbox.size() * 2);
    MailboxJob small = job(folder.path + "/dir/");
    small.size_limit = 10;
    CHECK(deliver_to_mailbox(small, message).status == "5.2.2");
    CHECK(files_in(small.path + "tmp") + files_in(small.path + "new") == 0);
}

TEST_CASE("mailbox: a message that cannot be read to its end leaves nothing behind")
{
    const Folder folder;
    const std::string path = folder.path + "/content";
    std::ofstream(path) << "Subject: a\r\n\r\n" << std::string(200'000, 'x');
    auto broken = Message::of(Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
    REQUIRE(broken);
    std::filesystem::resize_file(path, 150'000);
    const MailboxJob one = job(folder.path + "/user");
    CHECK(deliver_to_mailbox(one, *broken).end == Fate::End::deferred);
    CHECK(content(one.path).empty());
    const MailboxJob other = job(folder.path + "/dir/");
    CHECK(deliver_to_mailbox(other, *broken).end == Fate::End::deferred);
    CHECK(files_in(other.path + "tmp") + files_in(other.path + "new") == 0);
}

TEST_CASE("mailbox: a lock that others hold, a second name, another's file and a link defer the mail and change nothing")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/user");
    std::ofstream(one.path + ".lock") << "";
    CHECK(deliver_to_mailbox(one, message).status == "4.2.0");
    CHECK_FALSE(std::filesystem::exists(one.path));
    CHECK(std::filesystem::exists(one.path + ".lock"));
    std::filesystem::remove(one.path + ".lock");

    std::ofstream(one.path) << "";
    std::filesystem::create_hard_link(one.path, folder.path + "/second");
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::deferred);
    std::filesystem::remove(folder.path + "/second");

    one.path = folder.path + "/link";
    std::filesystem::create_symlink(folder.path + "/user", one.path);
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::deferred);
    CHECK(content(folder.path + "/user").empty());
    if (::geteuid() == 0) {
        one.path = folder.path + "/user";
        REQUIRE(::chown(one.path.c_str(), 65534, 65534) == 0);
        CHECK(deliver_to_mailbox(one, message).text.ends_with("destination is not owned by recipient"));
        one.strict_ownership = false;
        CHECK(deliver_to_mailbox(one, message).end == Fate::End::delivered);
    }
}

TEST_CASE("mailbox: a file that is no mailbox may be in a folder that takes no lock file, and is no program")
{
    const Folder folder;
    MailboxJob one = job(folder.path + "/file");
    one.success_file = one.path;
    one.lock.attempts = 20;                                        // of a second each, if it is waited for
    std::ofstream(one.path) << "";
    const auto deliver = [&] {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0))
                ::_exit(9);
            const Fate fate = deliver_to_mailbox(one, message);
            ::_exit(fate.end == Fate::End::delivered ? 0 : fate.status == "5.7.1" ? 1 : 2);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    if (::geteuid() == 0)
        REQUIRE(::chown(one.path.c_str(), 65534, 65534) == 0);
    REQUIRE(::chmod(folder.path.c_str(), 0555) == 0);
    CHECK(deliver() == 0);
    CHECK(content(one.path) == as_mbox);
    one.lock.attempts = 1;
    one.success_file.clear();                                      // a user's mailbox
    CHECK(deliver() == 2);
    one.success_file = one.path;
    REQUIRE(::chmod(one.path.c_str(), 0700) == 0);
    CHECK(deliver() == 1);
    REQUIRE(::chmod(folder.path.c_str(), 0755) == 0);
    std::ofstream(one.path + ".lock") << "";                       // somebody has it
    REQUIRE(::chmod(one.path.c_str(), 0600) == 0);
    CHECK(deliver() == 2);
    CHECK(content(one.path) == as_mbox);
}

TEST_CASE("mailbox: a device takes the message and no lock; a folder and a pipe take none")
{
    MailboxJob one = job("/dev/null");
    one.success_file = "/dev/null";
    CHECK(deliver_to_mailbox(one, message) == Fate::delivered("delivered to file: /dev/null"));
    CHECK_FALSE(std::filesystem::exists("/dev/null.lock"));
    const Folder folder;
    // A link to a device takes it where the link was named, and is nobody's mailbox.
    one.path = one.success_file = folder.path + "/null";
    REQUIRE(::symlink("/dev/null", one.path.c_str()) == 0);
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::delivered);
    one.success_file.clear();
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::deferred);
    one.path = folder.path;
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::deferred);
    one.path += "/fifo";
    REQUIRE(::mkfifo(one.path.c_str(), 0600) == 0);
    CHECK(deliver_to_mailbox(one, message).end == Fate::End::deferred);
}
