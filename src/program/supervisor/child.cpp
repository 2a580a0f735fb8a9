#include "supervisor/child.hpp"

#include "process/memory_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::supervisor {

std::uint32_t StartRecord::add(int descriptor)
{
    descriptors_.push_back(descriptor);
    return static_cast<std::uint32_t>(process::first_free_descriptor + descriptors_.size() - 1);
}

void StartRecord::config(int descriptor) { record.set_config(add(descriptor)); }

void StartRecord::log(int ring, int bell)
{
    record.set_log(add(ring));
    record.set_log_bell(add(bell));
}

void StartRecord::log_alone(int target, observe::LogForm form)
{
    record.set_log_target(add(target));
    record.set_log_by_syslog(form == observe::LogForm::syslog);
}

void StartRecord::records_alone(int target) { record.set_record_target(add(target)); }

void StartRecord::listening(int descriptor, std::string name, bool inet, bool datagram)
{
    auto* entry = record.add_listening();
    entry->set_descriptor(add(descriptor));
    entry->set_name(std::move(name));
    entry->set_inet(inet);
    entry->set_datagram(datagram);
}

void StartRecord::check_powers(int descriptor) { record.set_check_powers(add(descriptor)); }

void StartRecord::trial(int descriptor) { record.set_trial(add(descriptor)); }

namespace {

constexpr std::size_t most_descriptors = 400;
constexpr int exit_no_descriptors = 126, exit_no_program = 127;     // services themselves exit 0 or 1

/// Between fork and exec: only calls that are safe after fork of a process with threads.
[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment, const int* descriptors, int count)
{
    // Out of each other's way first, no higher than it takes (the limit of open files may be small), then down to their places.
    int high[most_descriptors];
    for (int i = 0; i < count; ++i)
        if ((high[i] = ::fcntl(descriptors[i], F_DUPFD, process::control_descriptor + count)) < 0)
            ::_exit(exit_no_descriptors);
    for (int i = 0; i < count; ++i)
        if (::dup2(high[i], process::control_descriptor + i) < 0)
            ::_exit(exit_no_descriptors);
    ::syscall(SYS_close_range, process::control_descriptor + count, ~0U, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(program, arguments, environment);
    ::_exit(exit_no_program);
}

std::string_view name_in(std::string_view entry) { return entry.substr(0, entry.find('=')); }

/// `set`, and of ours what has another name. HOME is whose shell has started us, often root's: client libraries look for files of a user there, and
/// libpq gives up where it may not even look.
std::vector<char*> environment_of(std::vector<std::string>& set, bool home)
{
    std::vector<char*> entries;
    for (std::string& entry : set)
        entries.push_back(entry.data());
    for (char* const* ours = ::environ; *ours; ++ours)
        if ((home || name_in(*ours) != "HOME") &&
            std::ranges::none_of(set, [&](const std::string& entry) { return name_in(entry) == name_in(*ours); }))
            entries.push_back(*ours);
    entries.push_back(nullptr);
    return entries;
}

}  // namespace

Result<Spawned> spawn_service(const std::string& program, StartRecord start)
{
    TRY(auto pair, ipc::Channel::socket_pair());
    TRY(const Fd record, process::make_memory_file("start", start.record.SerializeAsString()));
    std::vector<int> descriptors{pair.second.get(), record.get()};
    descriptors.insert(descriptors.end(), start.descriptors_.begin(), start.descriptors_.end());
    if (descriptors.size() > most_descriptors)
        return Error{"too many listening sockets in one line"};
    std::string service = "service", name = start.record.program(), line = start.record.service(), own = program;
    char* const arguments[] = {own.data(), service.data(), name.data(), line.data(), nullptr};
    const std::vector<char*> environment = environment_of(start.environment, start.home);
    const pid_t pid = ::fork();
    if (pid < 0)
        return system_error("fork", errno);
    if (pid == 0)
        become(program.c_str(), arguments, environment.data(), descriptors.data(), static_cast<int>(descriptors.size()));
    return Spawned{pid, std::move(pair.first)};
}

std::string why_not_started(int exit_status)
{
    struct rlimit open_files{};
    ::getrlimit(RLIMIT_NOFILE, &open_files);
    switch (exit_status) {
    case exit_no_descriptors:
        return fmt::format("it needs more open files than the limit of {} leaves (ulimit -n, LimitNOFILE)", open_files.rlim_cur);
    case exit_no_program: return "its program cannot be executed";
    default: return {};
    }
}

}  // namespace posthorn::supervisor
