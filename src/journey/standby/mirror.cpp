#include "standby/mirror.hpp"

#include <fmt/format.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::standby {

namespace {

constexpr std::size_t overhead = 64;                       // of an operation in memory, about

}  // namespace

Mirror::Mirror(spool::FileOps& files, Lineage lineage, Options options, Connect connect, observe::Log log, Events events)
    : files_(files), lineage_(std::move(lineage)), options_(std::move(options)), connect_(std::move(connect)), log_(std::move(log)),
      events_(std::move(events)), since_(SystemClock().wall())
{
}

Mirror::~Mirror() { stop(); }

void Mirror::start()
{
    talker_ = std::jthread([this] { talk(); });
}

void Mirror::wait_for_answer(std::chrono::milliseconds most)
{
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, most, [&] { return answered_; });
}

void Mirror::stop()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        if (socket_ >= 0)
            ::shutdown(socket_, SHUT_RDWR);
    }
    changed_.notify_all();
    if (talker_.joinable())
        talker_.join();
}

Mirror::Status Mirror::status() const
{
    const std::lock_guard lock(mutex_);
    return {.state = state_,
            .since = since_,
            .host = host_,
            .trouble = trouble_,
            .octets = octets_,
            .times_lost = times_lost_,
            .files = files_to_copy_,
            .files_done = files_copied_};
}

bool Mirror::in_step() const
{
    const std::lock_guard lock(mutex_);
    return state_ == State::in_step;
}

bool Mirror::covered() const
{
    const std::lock_guard lock(mutex_);
    return uncovered_ == 0;
}

std::uint64_t Mirror::room_of(const Operation& operation) const { return operation.write().octets().size() + overhead; }

void Mirror::push(Operation operation)
{
    operation.set_number(++number_);
    waiting_octets_ += room_of(operation);
    waiting_.push_back(std::move(operation));
    changed_.notify_all();
}

void Mirror::break_off(std::string why)
{
    if (!attached_ || !broken_.empty())
        return;
    broken_ = std::move(why);
    if (socket_ >= 0)
        ::shutdown(socket_, SHUT_RDWR);
    changed_.notify_all();
}

/// A line that takes nothing for longer than `patience` is one that is lost.
void Mirror::wait_for_room(std::unique_lock<std::mutex>& lock)
{
    const auto room = [&] { return !attached_ || !broken_.empty() || stopping_ || waiting_octets_ < options_.backlog; };
    while (!room()) {
        const std::size_t before = waiting_octets_;
        if (!changed_.wait_for(lock, options_.patience, room) && waiting_octets_ >= before)
            break_off(fmt::format("it took nothing for {} s, and {} octets wait", options_.patience.count() / 1000, waiting_octets_));
    }
}

int Mirror::change(const std::function<int()>& make, const std::function<void(Operation&)>& describe)
{
    std::unique_lock lock(mutex_);
    wait_for_room(lock);
    const int error = make();
    if (error != 0)
        return error;
    if (!attached_) {
        ++number_;
        return 0;
    }
    Operation operation;
    describe(operation);
    push(std::move(operation));
    return 0;
}

int Mirror::change_name(std::string_view name, const std::function<int()>& make, const std::function<void(Operation&)>& describe)
{
    return change(
        [&] {
            const int error = make();
            if (error == 0 && attached_ && state_ != State::in_step)
                renamed_.emplace(name);
            return error;
        },
        describe);
}

int Mirror::take_in(std::string_view name)
{
    {
        const std::lock_guard lock(mutex_);
        ++number_;
        if (!attached_)
            return 0;                                      // it will be found when all is compared
    }
    std::unique_ptr<spool::File> file;
    std::uint64_t size = 0;
    int error = files_.open(name, spool::Open::read_only, file);
    if (error == 0)
        error = file->size(size);
    if (error == 0)
        error = change([] { return 0; },
                       [&](Operation& operation) {
                           operation.mutable_truncate()->set_name(std::string(name));
                           operation.mutable_truncate()->set_size(size);
                       });
    constexpr std::uint64_t at_once = 256U << 10;
    for (std::uint64_t at = 0; error == 0 && at < size; at += at_once) {
        std::string octets(std::min(at_once, size - at), '\0');
        std::size_t got = 0;
        error = file->read(at, octets, got);
        if (error == 0 && got < octets.size())
            error = EIO;                                   // it was as long as its envelope says a moment ago
        if (error == 0)
            error = change([] { return 0; },
                           [&](Operation& operation) {
                               Operation::Write& write = *operation.mutable_write();
                               write.set_name(std::string(name));
                               write.set_offset(at);
                               write.set_octets(std::move(octets));
                           });
    }
    if (error == 0)
        begin_sync(true);                                  // as its receiver did before it told the queue
    return error;
}

std::uint64_t Mirror::begin_sync(bool barrier)
{
    std::unique_lock lock(mutex_);
    wait_for_room(lock);
    if (attached_) {
        Operation operation;
        operation.mutable_sync()->set_barrier(barrier);
        push(std::move(operation));
    } else {
        ++number_;
    }
    return number_;
}

void Mirror::wait(std::uint64_t number)
{
    std::unique_lock lock(mutex_);
    const auto over = [&] { return state_ != State::in_step || durable_ >= number; };
    if (!changed_.wait_for(lock, options_.patience, over)) {
        break_off(fmt::format("it has not stored within {} s what it was told", options_.patience.count() / 1000));
        changed_.wait(lock, over);                         // as soon as the session hears of that
    }
    if (durable_ < number)
        uncovered_ = std::max(uncovered_, number);
}

}  // namespace posthorn::standby
