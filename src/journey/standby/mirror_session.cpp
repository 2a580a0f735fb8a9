// One connection to the copy: it is greeted, compared, brought into step, and told what changes.
#include "standby/mirror.hpp"

#include "spool/incoming.hpp"

#include <fmt/format.h>

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace posthorn::standby {

namespace {

constexpr std::size_t octets_of_frame = 1U << 20;
constexpr std::chrono::minutes patience_with_holdings{10};  // it reads all it has
constexpr std::size_t most_holdings = 512U << 20;           // octets of names and sums: of some millions of contents
constexpr std::string_view the_copy = "the copy";

}  // namespace

void Mirror::talk()
{
    ::prctl(PR_SET_NAME, "standby", 0, 0, 0);
    std::chrono::milliseconds pause = options_.pause;
    for (;;) {
        const auto done = session();
        const bool was_in_step = status().state == State::in_step;
        enter(State::away, done ? std::string() : done.error().text());
        if (was_in_step)
            pause = options_.pause;
        std::unique_lock lock(mutex_);
        if (changed_.wait_for(lock, pause, [&] { return stopping_ || superseded_; }))
            return;
        pause = std::min(2 * pause, options_.longest_pause);
    }
}

/// Who changes the state says so; a reason is said once.
void Mirror::enter(State state, std::string trouble)
{
    State before{};
    std::string host;
    bool say = false;
    {
        const std::lock_guard lock(mutex_);
        before = std::exchange(state_, state);
        if (state == State::away) {
            attached_ = false;
            waiting_.clear();
            waiting_octets_ = 0;
            renamed_.clear();
            socket_ = -1;
            broken_.clear();
            answered_ = true;
            say = !stopping_ && !superseded_ && (before != State::away || trouble != said_trouble_);
            said_trouble_ = trouble;
            times_lost_ += before == State::in_step && !stopping_;
        } else {
            said_trouble_.clear();
        }
        if (before != state)
            since_ = SystemClock().wall();
        trouble_ = std::move(trouble);
        host = host_.empty() ? std::string("the second machine") : host_;
        changed_.notify_all();
        trouble = trouble_;
    }
    if (say)
        log_.warning("the queue has no second copy on {}: {}; {}", host, trouble,
                     options_.required ? "no mail is taken or delivered until it has (queue_standby_required)" : "mail is taken without one");
    else if (state == State::in_step)
        log_.info("the queue has a second copy on {}, in step", host);
    else if (state == State::copying)
        log_.info("the copy of the queue on {} is brought into step", host);
    if (before != state && events_.changed)
        events_.changed();
}

Result<void> Mirror::session()
{
    TRY(const Fd connection, connect_());
    const int socket = connection.get();
    {
        const std::lock_guard lock(mutex_);
        if (stopping_)
            return Error{"this system stops", "4.3.2"};
        socket_ = socket;
        broken_.clear();
        heard_ = said_ = std::chrono::steady_clock::now();
    }
    Line line(socket, socket, std::string(the_copy));
    TRY(Holdings there, greet(line));
    enter(State::copying, {});
    {
        const std::lock_guard lock(mutex_);
        attached_ = true;                                  // from here on every change is told
        copied_at_ = 0;
    }
    Result<void> done;
    {
        Line heard(socket, socket, std::string(the_copy));
        const std::jthread hearing([&] { hear(heard); });
        done = copy_all(line, std::move(there));
        if (done)
            done = send_all(line);
        ::shutdown(socket, SHUT_RDWR);
    }
    const std::lock_guard lock(mutex_);
    if (!broken_.empty())
        return Error{broken_, "4.3.0"};
    return done;
}

Result<Holdings> Mirror::greet(Line& line)
{
    Said begin;
    begin.mutable_begin()->set_version(options_.version);
    Lineage ours = lineage_;
    ours.host = options_.host;
    *begin.mutable_begin()->mutable_lineage() = said_of(ours);
    TRY_VOID(line.say(begin));
    TRY(const Said answer, line.hear(options_.patience));
    if (answer.what_case() == Said::kSuperseded) {
        TRY(const Lineage now, lineage_of(answer.superseded().lineage()));
        if (now.identity != lineage_.identity || now.epoch <= lineage_.epoch)
            return Error{"it says that another queue than this one went on there", "4.3.0"};
        {
            const std::lock_guard lock(mutex_);
            superseded_ = answered_ = true;
            host_ = now.host;
        }
        changed_.notify_all();
        events_.superseded(now);
        return Error{"it has become the queue", "4.3.0"};
    }
    if (answer.what_case() != Said::kWelcome)
        return Error{"it does not answer as a copy does", "4.3.0"};
    {
        const std::lock_guard lock(mutex_);
        host_ = host_word(answer.welcome().host());
        answered_ = true;
    }
    changed_.notify_all();
    Holdings there;
    for (std::size_t octets = 0;;) {
        TRY(const Said said, line.hear(patience_with_holdings));
        if (said.what_case() == Said::kHoldingsEnd)
            return there;
        if (said.what_case() == Said::kAlive)
            continue;
        if (said.what_case() != Said::kHolding)
            return Error{"it does not say what it holds", "4.3.0"};
        const auto& told = said.holding();
        octets += told.name().size() + told.sums().size() + sizeof(HeldFile);
        HeldFile& holding = there[told.name()];
        if (octets > most_holdings || told.first_block() * sum_octets != holding.sums.size())
            return Error{"what it holds is not told in order", "4.3.0"};
        holding.size = told.size();
        holding.sums += told.sums();
    }
}

Result<void> Mirror::copy_all(Line& line, Holdings held)
{
    TRY(const std::vector<std::string> here, copied_files(files_));
    {
        const std::lock_guard lock(mutex_);
        files_to_copy_ = here.size();
        files_copied_ = 0;
        bool incoming = false;
        if (files_.exists(spool::incoming_folder, incoming) == 0 && incoming) {
            Operation operation;
            operation.set_folder(std::string(spool::incoming_folder));
            push(std::move(operation));
        }
    }
    for (const auto& [name, holding] : held) {
        if (!is_copied(name))
            return Error{"it holds what does not belong to a copy", "4.3.0"};
        if (!std::ranges::binary_search(here, name)) {
            const std::lock_guard lock(mutex_);
            bool exists = false;
            if (files_.exists(name, exists) == 0 && exists)
                renamed_.insert(name);                     // it has come since
            Operation operation;
            operation.set_remove(name);
            push(std::move(operation));
        }
    }
    for (const std::string& name : here) {
        const auto there = held.find(name);
        TRY_VOID(copy_file(line, name, there == held.end() ? nullptr : &there->second));
        const std::lock_guard lock(mutex_);
        ++files_copied_;
    }
    held.clear();
    for (;;) {                                             // names that got another file meanwhile: all of that is told again
        std::set<std::string, std::less<>> renamed;
        {
            const std::lock_guard lock(mutex_);
            renamed = std::exchange(renamed_, {});
            if (renamed.empty()) {
                Operation operation;
                operation.set_copied(true);
                push(std::move(operation));
                copied_at_ = number_;
                return {};
            }
        }
        for (const std::string& name : renamed)
            TRY_VOID(copy_file(line, name, nullptr));
    }
}

/// A block is compared without the mutex, and read again under it before it is told: what changes in between is told behind it. One that is the same when
/// it is read is so there as well, since every change after that is told.
Result<void> Mirror::copy_file(Line& line, const std::string& name, const HeldFile* there)
{
    std::unique_ptr<spool::File> file;
    std::uint64_t size = 0;
    const auto failed = [&](int error) { return Error{fmt::format("read {}: {}", name, errno_text(error)), "4.3.0"}; };
    if (const int error = files_.open(name, spool::Open::read_only, file); error == ENOENT) {
        const std::lock_guard lock(mutex_);
        bool exists = false;
        if (const int unknown = files_.exists(name, exists); unknown != 0)
            return failed(unknown);
        if (!exists) {  // and what was told of it before it went is not to stay
            Operation operation;
            operation.set_remove(name);
            push(std::move(operation));
        }
        return {};
    } else if (error != 0) {
        return failed(error);
    }
    if (name.starts_with(spool::incoming_folder) && file->lock_shared() != 0)
        return {};  // its message has left, and it becomes a spare
    {
        const std::lock_guard lock(mutex_);
        if (const int error = file->size(size); error != 0)
            return failed(error);
        if (!there || there->size != size) {
            Operation operation;
            operation.mutable_truncate()->set_name(name);
            operation.mutable_truncate()->set_size(there ? size : 0);  // nothing of another file's stays
            push(std::move(operation));
        }
    }
    std::string block(block_octets, '\0');
    for (std::uint64_t at = 0; at * block_octets < size; ++at) {
        TRY_VOID(keep_alive(line));  // what is the same says nothing
        std::size_t got = 0;
        const std::string_view sum = there ? there->sum(at) : std::string_view{};
        if (!sum.empty()) {
            if (const int error = file->read(at * block_octets, block, got); error != 0)
                return failed(error);
            if (sum_of(std::string_view(block).substr(0, got)) == sum)
                continue;
        }
        {
            const std::lock_guard lock(mutex_);
            if (!broken_.empty() || stopping_)
                return Error{broken_.empty() ? "this system stops" : broken_, "4.3.0"};
            if (const int error = file->read(at * block_octets, block, got); error != 0)
                return failed(error);
            if (got == 0)
                break;  // it was cut, and so was told
            Operation operation;
            Operation::Write& write = *operation.mutable_write();
            write.set_name(name);
            write.set_offset(at * block_octets);
            write.set_octets(block.data(), got);
            push(std::move(operation));
        }
        TRY_VOID(send_while(line, octets_of_frame));
    }
    return {};
}

Result<void> Mirror::send_while(Line& line, std::size_t least)
{
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            if (waiting_octets_ < least)
                return {};
        }
        TRY(const bool sent, send_some(line));
        if (!sent)
            return {};
    }
}

Result<bool> Mirror::send_some(Line& line)
{
    Said said;
    std::size_t octets = 0;
    {
        const std::lock_guard lock(mutex_);
        while (!waiting_.empty() && octets < octets_of_frame) {
            octets += room_of(waiting_.front());
            *said.mutable_operations()->add_operations() = std::move(waiting_.front());
            waiting_.pop_front();
        }
    }
    if (octets == 0)
        return false;
    said_ = std::chrono::steady_clock::now();
    TRY_VOID(line.say(said));
    {
        const std::lock_guard lock(mutex_);
        waiting_octets_ -= std::min(waiting_octets_, octets);
        octets_ += octets;
    }
    changed_.notify_all();
    return true;
}

/// Where nothing was said for a while: is anybody there? A copy that catches up does not answer before it has done all it was told.
Result<void> Mirror::keep_alive(Line& line)
{
    const auto now = std::chrono::steady_clock::now();
    if (now - said_ < options_.heartbeat)
        return {};
    {
        const std::lock_guard lock(mutex_);
        const auto patience =
            state_ == State::in_step ? 2 * options_.heartbeat : std::max<std::chrono::milliseconds>(2 * options_.heartbeat, patience_with_holdings);
        if (now - heard_ >= patience)
            return Error{fmt::format("it did not answer within {} s", std::chrono::duration_cast<std::chrono::seconds>(patience).count()), "4.3.0"};
    }
    Said alive;
    alive.mutable_alive();
    said_ = now;
    return line.say(alive);
}

Result<void> Mirror::send_all(Line& line)
{
    for (;;) {
        TRY(const bool sent, send_some(line));
        if (sent)
            continue;
        {
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, options_.heartbeat, [&] { return !waiting_.empty() || !broken_.empty() || stopping_; });
            if (!broken_.empty() || stopping_)
                return Error{broken_.empty() ? "this system stops" : broken_, "4.3.0"};
        }
        TRY_VOID(keep_alive(line));
    }
}

void Mirror::hear(Line& line)
{
    constexpr std::chrono::hours for_ever{24 * 365};  // who waits for an answer has a patience of its own
    for (;;) {
        const auto said = line.hear(for_ever);
        bool in_step = false;
        {
            const std::lock_guard lock(mutex_);
            if (!said || (said->what_case() != Said::kDurable && said->what_case() != Said::kAlive))
                return break_off(said ? "it says what a copy does not say" : said.error().text());
            if (said->durable().number() > number_)
                return break_off("it has stored what it was not told");
            heard_ = std::chrono::steady_clock::now();
            durable_ = std::max(durable_, said->durable().number());
            in_step = state_ == State::copying && copied_at_ != 0 && durable_ >= copied_at_;
        }
        if (in_step)
            enter(State::in_step, {});
        bool covers = false;
        {
            const std::lock_guard lock(mutex_);
            covers = uncovered_ != 0 && state_ == State::in_step && durable_ >= uncovered_;
            if (covers)
                uncovered_ = 0;
        }
        changed_.notify_all();
        if (covers && events_.changed)
            events_.changed();
    }
}

}  // namespace posthorn::standby
