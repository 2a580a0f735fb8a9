#include "instance.hpp"

#include "base/fd.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace posthorn::house {

using namespace std::chrono_literals;

namespace {

std::string contents(const std::string& path)
{
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

template <class Condition>
bool soon(Condition condition, std::chrono::seconds limit)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(20ms);
    }
    return true;
}

}  // namespace

Instance::Instance()
{
    char name[] = "/tmp/posthorn-house-XXXXXX";
    folder_ = ::mkdtemp(name);
    ::chmod(folder_.c_str(), 0755);
    std::filesystem::create_directories(path("conf"));
    main_cf();
    master_cf("smtp unix - - n - - smtp\n");
}

Instance::~Instance()
{
    if (master_ > 0) {
        ::kill(master_, SIGQUIT);
        wait_for_end();
    }
    std::filesystem::remove_all(folder_);
}

void Instance::write(std::string_view name, std::string_view text) const { std::ofstream(path(name)) << text; }

void Instance::main_cf(std::string_view more) const
{
    // As root the services become two users that every Debian has.
    write("conf/main.cf",
          fmt::format("compatibility_level = 3.6\nqueue_directory = {0}/queue\ndata_directory = {0}/data\nmaillog_file = {0}/maillog\n"
                      "maillog_file_prefixes = {0}\nmyhostname = house.test\nmail_owner = nobody\nsetgid_group = mail\n"
                      "inet_interfaces = loopback-only\ninet_protocols = ipv4\nservice_stop_time = 5s\n{1}\n",
                      folder_, more));
}

void Instance::master_cf(std::string_view text) const { write("conf/master.cf", text); }

void Instance::start(unsigned open_files)
{
    const std::string program = POSTHORN_HOUSE, directory = path("conf"), errors = path("stderr");
    master_ = ::fork();
    if (master_ == 0) {
        const int file = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        ::dup2(file, STDERR_FILENO);
        ::setpgid(0, 0);
        const struct rlimit limit{open_files, open_files};
        if (open_files > 0)
            ::setrlimit(RLIMIT_NOFILE, &limit);
        ::execl(program.c_str(), program.c_str(), "master", directory.c_str(), nullptr);
        ::_exit(127);
    }
}

int Instance::wait_for_end(std::chrono::seconds limit)
{
    int status = 0;
    const bool done = soon([&] { return ::waitpid(master_, &status, WNOHANG) == master_; }, limit);
    if (!done)
        return -1;
    master_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Instance::signal(int number) const { ::kill(master_, number); }

std::string Instance::said() const { return contents(path("stderr")); }

std::string Instance::log() const { return contents(path("maillog")); }

bool Instance::logged(std::string_view text, unsigned times, std::chrono::seconds limit) const
{
    return soon(
        [&] {
            const std::string all = log();
            unsigned found = 0;
            for (std::size_t at = all.find(text); at != all.npos; at = all.find(text, at + text.size()))
                ++found;
            return found >= times;
        },
        limit);
}

std::vector<pid_t> Instance::processes(std::string_view program) const
{
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != name.npos)
            continue;
        std::string line = contents("/proc/" + name + "/cmdline");
        std::ranges::replace(line, '\0', ' ');
        if (line.find(fmt::format("service {} ", program)) == line.npos)
            continue;
        // Ours: a child of our master (or, once that is gone, of nobody's).
        std::istringstream stat(contents("/proc/" + name + "/stat"));
        std::string pid, command, state, parent;
        stat >> pid >> command >> state >> parent;
        if (std::stoi(parent) == master_)
            found.push_back(std::stoi(name));
    }
    std::ranges::sort(found);
    return found;
}

std::string Instance::ask(std::string_view program, std::string_view question) const
{
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path(fmt::format("queue/private/posthorn.{}", program)).copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return "no connection";
    const timeval patience{120, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const std::string line = std::string(question) + "\n";
    (void)!::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);
    std::string answer;
    char octet;
    while (::read(socket.get(), &octet, 1) == 1 && octet != '\n')
        answer += octet;
    return answer;
}

}  // namespace posthorn::house
