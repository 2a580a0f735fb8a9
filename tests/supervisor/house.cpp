// A whole instance in one executable, for tests: `house master DIR` is posthorn-master, `house service ...` its services, which serve
// nothing but questions about their own powers. The code of both is the real one; only the work is not.
#include "process/service.hpp"
#include "supervisor/master.hpp"
#include "supervisor/params.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

using namespace posthorn;
using namespace posthorn::process;

namespace {

std::string outcome(long result) { return result < 0 ? errno_text(errno) : "done"; }

/// Tries one thing that a service must not be able to do (or must), and says how it went.
std::string tried(const std::string& what, const std::string& argument)
{
    if (what == "execve") {
        char* const arguments[] = {const_cast<char*>("/bin/true"), nullptr};
        return outcome(::execve("/bin/true", arguments, nullptr));
    }
    if (what == "fork") {
        const pid_t pid = ::fork();
        if (pid == 0)
            ::_exit(0);
        return outcome(pid);
    }
    if (what == "open")
        return outcome(Fd(::open(argument.c_str(), O_RDONLY | O_CLOEXEC)).get());
    if (what == "create")
        return outcome(Fd(::open(argument.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)).get());
    if (what == "setuid")
        return outcome(::setuid(0));
    if (what == "chroot")
        return outcome(::chroot("/"));
    if (what == "ptrace")
        return outcome(::ptrace(PTRACE_ATTACH, std::stoi(argument), nullptr, nullptr));
    if (what == "kill")
        return outcome(::kill(std::stoi(argument), 0));
    if (what == "dumpable")
        return outcome(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    if (what == "inet")
        return outcome(Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)).get());
    if (what == "raw")
        return outcome(Fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1)).get());
    if (what == "status") {
        return fmt::format("uid={} euid={} gid={}", ::getuid(), ::geteuid(), ::getgid());
    }
    return "what?";
}

class Prober final : public Work {
public:
    explicit Prober(Service& service) : service_(service), tasks_(service.executor()) {}

    void start() override
    {
        for (ListeningSocket& listening : service_.take_listeners())
            if (!listening.inet && !listening.datagram && listening.name.starts_with("private/posthorn.")) {
                acceptor_.emplace(service_.executor(), asio::local::stream_protocol(), ::dup(listening.socket.get()));
                kept_.push_back(std::move(listening.socket));
                tasks_.spawn(accept());
            } else {
                kept_.push_back(std::move(listening.socket));
            }
        service_.on_file_changed([this](const std::string& path, Fd file) { changed_ = path + (file ? " changed" : " gone"); });
    }
    awaitable<void> stop(Stop how) override
    {
        // As with a client that keeps its session.
        if (how == Stop::generation && service_.config().text("mail_name").starts_with("Lingering"))
            while (!hurried_)
                co_await hurry_.wait_for(std::chrono::milliseconds(100));
        // As with a client in the middle of a message.
        if (service_.program() == "smtpd")
            co_await hurry_.wait_for(std::chrono::milliseconds(300));
        co_await tasks_.close();
        service_.log().info("prober stopped");
    }
    void hurry() override
    {
        hurried_ = true;
        hurry_.notify_all();
        service_.log().info("prober hurries");
    }
    Result<process::Reload> reload(const config::Snapshot& snapshot) override
    {
        if (snapshot.text("mail_name") == "refuse me")
            return Error{"mail_name: the prober refuses this value"};
        return process::Reload::in_place;
    }
    void count(handoff::CountersReply&) override {}

private:
    awaitable<void> accept()
    {
        while (!co_await cancelled()) {
            auto [error, socket] = co_await acceptor_->async_accept(asio::as_tuple(use_awaitable));
            if (!error)
                tasks_.spawn(converse(std::move(socket)));
        }
    }

    awaitable<void> converse(asio::local::stream_protocol::socket socket)
    {
        asio::streambuf buffer;
        for (;;) {
            auto [error, length] = co_await asio::async_read_until(socket, buffer, '\n', asio::as_tuple(use_awaitable));
            if (error)
                co_return;
            std::istream stream(&buffer);
            std::string line, what, argument;
            std::getline(stream, line);
            std::istringstream(line) >> what >> argument;
            std::string answer;
            if (what == "broker") {
                auto file = co_await service_.open_file(argument);
                char text[256];
                const ssize_t count = file ? ::read(file->get(), text, sizeof text) : -1;
                answer = file ? std::string(text, count > 0 ? static_cast<std::size_t>(count) : 0) : file.error().what();
            } else if (what == "changed") {
                answer = changed_;
            } else if (what == "config") {
                answer = service_.config().text(argument);
            } else if (what == "heartbeat") {
                answer = std::to_string(service_.start_record().heartbeat_seconds());
            } else if (what == "hang") {
                for (;;)
                    ::pause();
            } else if (what == "exit") {
                ::_exit(std::stoi(argument));
            } else if (what == "flood") {
                // A hostile service: garbage on the control channel.
                const std::string garbage(100000, '\xff');
                (void)!::write(control_descriptor, garbage.data(), garbage.size());
                answer = "written";
            } else {
                answer = tried(what, argument);
            }
            co_await asio::async_write(socket, asio::buffer(answer + "\n"), asio::as_tuple(use_awaitable));
        }
    }

    Service& service_;
    Signal hurry_{service_.executor()};
    bool hurried_ = false;
    TaskGroup tasks_;
    std::optional<asio::local::stream_protocol::acceptor> acceptor_;
    std::vector<Fd> kept_;
    std::string changed_ = "nothing";
};

/// Each program has the powers of the service it stands for.
int probe(Service& service)
{
    const std::string program = service.program();
    Powers may;
    if (program == "smtpd")
        may = {May::resolve, May::write_incoming, May::read_state, May::compile};
    else if (program == "qmgr")
        may = {May::spool};
    else if (program == "resolve")
        may = {May::resolve, May::pick_up, May::write_incoming, May::read_state, May::compile};
    else if (program == "memory")
        may = {May::state};
    else
        may = {May::connect, May::resolve, May::read_message, May::read_state};
    if (service.config().text("mail_name") == "die " + program)
        throw std::runtime_error("told to die while starting");
    const Confined confined = service.confine({.may = may});
    service.log().info("confined: landlock {} filter {} chroot {} generation {} heartbeat {}", confined.landlock > 0 ? "yes" : "no",
                       confined.filtered ? "yes" : "no", confined.chrooted ? "yes" : "no", service.start_record().generation(),
                       service.start_record().heartbeat_seconds());
    Prober prober(service);
    return service.run(prober);
}

constexpr Program programs[] = {{"smtpd", probe}, {"qmgr", probe}, {"resolve", probe}, {"memory", probe}, {"smtp", probe}, {"lmtp", probe}};

}  // namespace

int main(int argc, char** argv)
{
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "service")
        return run_service(programs);
    if (mode != "master" || argc != 3)
        return 64;
    static const std::span<const config::ParamInfo> lists[] = {supervisor::params};
    char own[4096];
    const ssize_t length = ::readlink("/proc/self/exe", own, sizeof own);
    supervisor::MasterOptions options;
    options.config_directory = argv[2];
    options.services_program = std::string(own, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
    options.foreground = true;
    options.rooms = lists;
    return supervisor::run_master(options);
}
