#include "observe/sinks.hpp"

#include "base/fd.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace posthorn::observe {

namespace {

struct Line {
    Level level;
    time_t when;
    std::string_view text;     // "tag: line"
};

/// Lines on their way, their texts one behind the other: what is said costs no allocation of its own.
class Batch {
public:
    void add(Level level, time_t when, std::string_view tag, std::string_view line)
    {
        text_.append(tag).append(": ").append(line);
        entries_.push_back({level, when, text_.size()});
    }
    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    Line operator[](std::size_t index) const
    {
        const Entry& entry = entries_[index];
        const std::size_t begin = index == 0 ? 0 : entries_[index - 1].end;
        return {entry.level, entry.when, std::string_view(text_).substr(begin, entry.end - begin)};
    }
    void clear()
    {
        if (text_.capacity() > keep_octets)
            text_ = {};
        text_.clear();
        entries_.clear();
    }
    void swap(Batch& other) noexcept
    {
        text_.swap(other.text_);
        entries_.swap(other.entries_);
    }

private:
    static constexpr std::size_t keep_octets = 256 * 1024;
    struct Entry {
        Level level;
        time_t when;
        std::size_t end;
    };
    std::string text_;
    std::vector<Entry> entries_;
};

/// How long a line waits for others to leave with it: a write per line costs more than the rest of logging. Errors do not wait.
constexpr std::chrono::milliseconds gather_time{10};
constexpr std::size_t gather_lines = 1024;

/// The bounded queue and its thread; a sink says how a batch is put out.
class QueuedSink : public DescriptorSink {
public:
    ~QueuedSink() override { stop(); }

    void write(Level level, std::string_view tag, std::string_view line) final
    {
        const time_t now = ::time(nullptr);
        bool wake = false;
        {
            const std::lock_guard guard(mutex_);
            if (waiting_.size() >= queue_lines) {
                ++dropped_;
                ++dropped_in_all_;
                return;
            }
            urgent_ = urgent_ || level >= Level::error;
            wake = urgent_ || waiting_.empty() || waiting_.size() + 1 == gather_lines;
            if (dropped_ > 0) {
                waiting_.add(Level::warning, now, tag, fmt::format("warning: {} log lines were dropped: the log could not keep up", dropped_));
                dropped_ = 0;
            }
            waiting_.add(level, now, tag, line);
        }
        if (wake)
            wake_.notify_one();
    }

    std::uint64_t dropped() const final
    {
        const std::lock_guard guard(mutex_);
        return dropped_in_all_;
    }

    void flush() final
    {
        std::unique_lock lock(mutex_);
        urgent_ = true;
        wake_.notify_one();
        idle_.wait(lock, [this] { return (waiting_.empty() && !writing_) || stopping_; });
    }

protected:
    void start()
    {
        thread_ = std::thread([this] { run(); });
    }
    /// Derived classes call it in their destructor: the thread uses put_out().
    void stop()
    {
        {
            const std::lock_guard guard(mutex_);
            stopping_ = true;
        }
        wake_.notify_one();
        if (thread_.joinable())
            thread_.join();
    }
    virtual void put_out(const Batch& batch) = 0;

private:
    void run()
    {
        ::prctl(PR_SET_NAME, "log", 0, 0, 0);                         // its cost is counted apart
        Batch batch;
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return !waiting_.empty() || stopping_; });
            wake_.wait_for(lock, gather_time, [this] { return urgent_ || stopping_ || waiting_.size() >= gather_lines; });
            urgent_ = false;
            if (waiting_.empty())
                return;
            batch.clear();
            batch.swap(waiting_);
            writing_ = true;
            lock.unlock();
            put_out(batch);
            lock.lock();
            writing_ = false;
            if (waiting_.empty())
                idle_.notify_all();
        }
    }

    mutable std::mutex mutex_;
    std::condition_variable wake_, idle_;
    Batch waiting_;
    std::size_t dropped_ = 0;                                         // since it was last said
    std::uint64_t dropped_in_all_ = 0;
    bool stopping_ = false, writing_ = false, urgent_ = false;
    std::thread thread_;
};

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

std::string datagram_of(const Line& line) { return fmt::format("<{}>{} {}", syslog_priority(line.level), timestamp(line.when), line.text); }

std::string host_name()
{
    char name[256] = "";
    ::gethostname(name, sizeof name - 1);
    return std::string(name).substr(0, std::string(name).find('.'));
}

std::string file_text(const Batch& batch, const std::string& host)
{
    std::string text, stamp;
    time_t stamped = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const Line line = batch[i];
        if (stamp.empty() || stamped != line.when)
            stamp = timestamp(stamped = line.when);
        text.append(stamp).append(1, ' ').append(host).append(1, ' ').append(line.text).append(1, '\n');
    }
    return text;
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

class GivenSink final : public QueuedSink {
public:
    GivenSink(Fd descriptor, LogForm form, std::chrono::milliseconds patience)
        : patience_(patience), descriptor_(std::move(descriptor)), form_(form), host_(host_name())
    {
        start();
    }
    ~GivenSink() override { stop(); }

    void replace(Fd descriptor, LogForm form) override
    {
        const std::lock_guard guard(replacing_);
        descriptor_ = std::move(descriptor);
        form_ = form;
    }

private:
    void put_out(const Batch& batch) override
    {
        const std::lock_guard guard(replacing_);
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
            if (!put(file_text(batch, host_)))
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

    bool say_lost(const Line& first)
    {
        const std::string text = fmt::format("{}: warning: {} log lines were lost", first.text.substr(0, first.text.find(": ")), lost_);
        return put({Level::warning, first.when, text});
    }

    bool put(const Line& line)
    {
        if (form_ == LogForm::file)
            return put(fmt::format("{} {} {}\n", timestamp(line.when), host_, line.text));
        return send_datagram(descriptor_.get(), datagram_of(line), patience_);
    }

    /// What a full disk cut off does not become the beginning of another line.
    bool put(std::string text)
    {
        if (cut_)
            text.insert(0, 1, '\n');
        const std::size_t put = write_all(descriptor_.get(), text, patience_);
        if (put > 0)
            cut_ = text[put - 1] != '\n';
        return put == text.size();
    }

    const std::chrono::milliseconds patience_;
    std::mutex replacing_;
    Fd descriptor_;
    LogForm form_;
    std::size_t lost_ = 0;
    bool cut_ = false;
    std::string host_;
};

}  // namespace

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

std::shared_ptr<DescriptorSink> descriptor_sink(Fd descriptor, LogForm form, std::chrono::milliseconds patience)
{
    return std::make_shared<GivenSink>(std::move(descriptor), form, patience);
}

}  // namespace posthorn::observe
