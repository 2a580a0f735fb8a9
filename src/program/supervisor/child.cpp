#include "supervisor/child.hpp"

#include "process/memory_file.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace posthorn::supervisor {

std::uint32_t StartRecord::add(int descriptor)
{
    descriptors_.push_back(descriptor);
    return static_cast<std::uint32_t>(process::first_free_descriptor + descriptors_.size() - 1);
}

void StartRecord::config(int descriptor) { record.set_config(add(descriptor)); }

void StartRecord::log(int descriptor, process::LogForm form)
{
    record.set_has_log(descriptor >= 0);
    record.set_log_form(form);
    if (descriptor >= 0)
        record.set_log(add(descriptor));
}

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

/// Between fork and exec: only calls that are safe after fork of a process with threads.
[[noreturn]] void become(const char* program, char* const* arguments, const int* descriptors, int count)
{
    // Out of each other's way first, then down to their places.
    constexpr int high = 512;
    for (int i = 0; i < count; ++i)
        if (::dup2(descriptors[i], high + i) < 0)
            ::_exit(126);
    for (int i = 0; i < count; ++i)
        if (::dup2(high + i, process::control_descriptor + i) < 0)
            ::_exit(126);
    ::syscall(SYS_close_range, process::control_descriptor + count, ~0U, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(program, arguments);
    ::_exit(127);
}

}  // namespace

Result<Spawned> spawn_service(const std::string& program, StartRecord start)
{
    TRY(auto pair, ipc::Channel::socket_pair());
    TRY(const Fd record, process::make_memory_file("start", start.record.SerializeAsString()));
    std::vector<int> descriptors{pair.second.get(), record.get()};
    descriptors.insert(descriptors.end(), start.descriptors_.begin(), start.descriptors_.end());
    if (descriptors.size() > 400)
        return Error{"too many listening sockets in one line"};
    std::string service = "service", name = start.record.program(), line = start.record.service(), own = program;
    char* const arguments[] = {own.data(), service.data(), name.data(), line.data(), nullptr};
    const pid_t pid = ::fork();
    if (pid < 0)
        return system_error("fork", errno);
    if (pid == 0)
        become(program.c_str(), arguments, descriptors.data(), static_cast<int>(descriptors.size()));
    return Spawned{pid, std::move(pair.first)};
}

}  // namespace posthorn::supervisor
