#include "observe/outlet.hpp"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace posthorn::observe {

namespace {

std::string timestamp(time_t when)
{
    tm parts{};
    ::localtime_r(&when, &parts);
    char text[32];
    return std::string(text, ::strftime(text, sizeof text, "%b %e %H:%M:%S", &parts));
}

int syslog_priority(Level level)
{
    switch (level) {
    case Level::info: return LOG_MAIL | LOG_INFO;
    case Level::warning: return LOG_MAIL | LOG_WARNING;
    case Level::error: return LOG_MAIL | LOG_ERR;
    case Level::fatal:
    case Level::panic: return LOG_MAIL | LOG_CRIT;
    }
    return LOG_MAIL | LOG_INFO;
}

std::string datagram_of(const Batch::Line& line) { return fmt::format("<{}>{} {}", syslog_priority(line.level), timestamp(line.when), line.text); }

std::string host_name()
{
    char name[256] = "";
    ::gethostname(name, sizeof name - 1);
    return std::string(name).substr(0, std::string(name).find('.'));
}

bool takes_more(int descriptor, std::chrono::milliseconds patience)
{
    pollfd look{.fd = descriptor, .events = POLLOUT, .revents = 0};
    for (;;) {
        const int ready = ::poll(&look, 1, static_cast<int>(patience.count()));
        if (ready >= 0 || errno != EINTR)
            return ready > 0;
    }
}

/// How much of it was written. A full disk loses log lines, never mail; and so does who reads a pipe and takes nothing: nobody waits for him
/// longer than `patience`.
std::size_t write_all(int descriptor, std::string_view text, std::chrono::milliseconds patience)
{
    struct stat facts{};
    const bool waits = ::fstat(descriptor, &facts) == 0 && !S_ISREG(facts.st_mode);
    std::string_view rest = text;
    while (!rest.empty() && (!waits || takes_more(descriptor, patience))) {
        const ssize_t count = ::write(descriptor, rest.data(), waits ? std::min<std::size_t>(rest.size(), PIPE_BUF) : rest.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        rest.remove_prefix(static_cast<std::size_t>(count));
    }
    return text.size() - rest.size();
}

/// False where nobody takes it, within `patience` where somebody is there.
bool send_datagram(int socket, std::string_view datagram, std::chrono::milliseconds patience)
{
    const auto until = std::chrono::steady_clock::now() + patience;
    while (::send(socket, datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (errno != EINTR && (errno != EAGAIN || left.count() <= 0 || !takes_more(socket, left)))
            return false;
    }
    return true;
}

}  // namespace

Outlet::Outlet(Fd descriptor, LogForm form, std::chrono::milliseconds patience)
    : patience_(patience), descriptor_(std::move(descriptor)), form_(form), host_(host_name())
{
}

void Outlet::replace(Fd descriptor, LogForm form)
{
    const std::lock_guard guard(replacing_);
    descriptor_ = std::move(descriptor);
    form_ = form;
    cut_ = cut_ && form != LogForm::record;                                // the other file ends with a whole one
}

void Outlet::put_out(const Batch& batch)
{
    if (batch.empty())
        return;
    const std::lock_guard guard(replacing_);
    if (form_ == LogForm::record)
        return descriptor_ ? put_records(batch) : void();
    if (!descriptor_) {
        lost_ += batch.size();
        return;
    }
    // Where one line is not taken, those behind it would not be either: each would wait as long.
    if (lost_ > 0 && !say_lost(batch[0])) {
        lost_ += batch.size();
        return;
    }
    lost_ = 0;
    if (form_ == LogForm::file) {
        if (!put(file_text(batch)))
            lost_ = batch.size();
        return;
    }
    for (std::size_t i = 0; i < batch.size(); ++i)
        if (!put(batch[i])) {
            const bool too_long = errno == EMSGSIZE;
            lost_ += too_long ? 1 : batch.size() - i;
            if (!too_long)
                return;
        }
}

/// What was cut off (a full disk) goes again, so that the next one does not stand behind half a record.
void Outlet::put_records(const Batch& batch)
{
    std::string text(cut_ ? "\n" : "");
    for (std::size_t i = 0; i < batch.size(); ++i)
        text.append(batch[i].text).append(1, '\n');
    const std::size_t put = write_all(descriptor_.get(), text, patience_);
    const std::string_view done = std::string_view(text).substr(0, put);
    const auto whole = static_cast<std::size_t>(std::ranges::count(done, '\n')) - (cut_ && put > 0 ? 1 : 0);
    lost_ += batch.size() - whole;
    if (put == 0)
        return;
    cut_ = done.back() != '\n';
    const std::size_t half = cut_ ? put - (done.rfind('\n') + 1) : 0;
    struct stat facts{};
    if (half != 0 && ::fstat(descriptor_.get(), &facts) == 0 && S_ISREG(facts.st_mode) && static_cast<std::size_t>(facts.st_size) >= half &&
        ::ftruncate(descriptor_.get(), facts.st_size - static_cast<off_t>(half)) == 0)
        cut_ = false;
}

std::size_t Outlet::take_lost_records()
{
    const std::lock_guard guard(replacing_);
    return std::exchange(lost_, 0);
}

std::string Outlet::file_text(const Batch& batch) const
{
    std::string text, stamp;
    time_t stamped = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const Batch::Line line = batch[i];
        if (stamp.empty() || stamped != line.when)
            stamp = timestamp(stamped = line.when);
        text.append(stamp).append(1, ' ').append(host_).append(1, ' ').append(line.text).append(1, '\n');
    }
    return text;
}

bool Outlet::say_lost(const Batch::Line& first)
{
    const std::string text = fmt::format("{}: warning: {} log lines were lost", first.text.substr(0, first.text.find(": ")), lost_);
    return put({Level::warning, first.when, text});
}

bool Outlet::put(const Batch::Line& line)
{
    if (form_ == LogForm::file)
        return put(fmt::format("{} {} {}\n", timestamp(line.when), host_, line.text));
    return send_datagram(descriptor_.get(), datagram_of(line), patience_);
}

/// What a full disk cut off does not become the beginning of another line.
bool Outlet::put(std::string text)
{
    if (cut_)
        text.insert(0, 1, '\n');
    const std::size_t put = write_all(descriptor_.get(), text, patience_);
    if (put > 0)
        cut_ = text[put - 1] != '\n';
    return put == text.size();
}

Fd connect_syslog(const std::string& path)
{
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        socket.reset();
    return socket;
}

}  // namespace posthorn::observe
