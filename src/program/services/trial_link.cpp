#include "services/trial_link.hpp"

#include "handoff/frames.hpp"

#include <algorithm>

namespace posthorn::services {

using handoff::Frame;
using handoff::Trials;
using handoff::TrialsCommand;
using handoff::TrialSeen;
using handoff::TrialsSeen;

namespace {

constexpr std::chrono::milliseconds gathering{1'000}, trials_look_interval{30'000};
constexpr std::size_t told_octets = 1'000;             // of a word: memory keeps fewer

void cut(std::string& text) { text.resize(std::min(text.size(), told_octets)); }

}  // namespace

TrialLink::TrialLink(Executor executor, ipc::Client& memory) : memory_(memory), closing_(executor), tasks_(std::move(executor)) {}

void TrialLink::tell(TrialSeen seen)
{
    if (ends_)
        return;
    if (seen.outcome() == TrialSeen::PASSED || seen.outcome() == TrialSeen::UNHELD) {
        auto& [passed, unheld] = passed_[{seen.out(), seen.tried()}];
        (seen.outcome() == TrialSeen::PASSED ? passed : unheld) += seen.count();
    } else if (gathered_.seen_size() >= waiting) {
        ++dropped_;
    } else {
        handoff::TrialSample& sample = *seen.mutable_sample();
        for (std::string* const word : {seen.mutable_reason(), sample.mutable_sender(), sample.mutable_recipient(), sample.mutable_peer()})
            cut(*word);
        *gathered_.add_seen() = std::move(seen);
    }
    if (!std::exchange(under_way_, true))
        tasks_.spawn(send_soon());
}

awaitable<void> TrialLink::send_soon()
{
    if (!ends_)
        co_await closing_.wait_for(gathering);
    TrialsSeen all = std::exchange(gathered_, {});
    for (const auto& [tried, counts] : std::exchange(passed_, {}))
        for (const auto& [count, outcome] : {std::pair{counts.first, TrialSeen::PASSED}, {counts.second, TrialSeen::UNHELD}}) {
            if (count == 0)
                continue;
            TrialSeen& seen = *all.add_seen();
            seen.set_out(tried.first);
            seen.set_tried(tried.second);
            seen.set_outcome(outcome);
            seen.set_count(count);
        }
    under_way_ = false;
    const auto size = static_cast<std::uint64_t>(all.seen_size());
    if (!co_await memory_.send(Frame::trials_seen, std::move(all)))
        dropped_ += size;
}

awaitable<void> TrialLink::close()
{
    ends_ = true;
    closing_.notify_all();
    co_await tasks_.drained();
}

TrialDesk::TrialDesk(const std::string& data_directory, const Clock& clock, observe::Log log, Executor executor, ipc::Dispatcher& dispatcher)
    : log_(std::move(log)), book_(clock), files_(spool::system_files(data_directory)), file_(*files_, trial_file), change_(executor)
{
    const TrialFile::Found found = file_.read();
    if (!found.trouble.empty())
        log_.warning("{}: what stricter settings would have refused is not known", found.trouble);
    book_.restore(found.message);
    dispatcher.on_notice<TrialsSeen>(Frame::trials_seen, [this](TrialsSeen told) {
        for (TrialSeen& seen : *told.mutable_seen())
            book_.take(std::move(seen));
        change_.notify_all();
    });
}

awaitable<Result<void>> TrialDesk::write()
{
    const auto written = co_await file_.write(book_.store());
    if (written)
        in_trouble_ = false;
    else if (!std::exchange(in_trouble_, true))
        log_.warning("{}", written.error().text());
    co_return written;
}

awaitable<void> TrialDesk::run()
{
    while (!co_await cancelled()) {
        if (!book_.changed())
            co_await change_.wait_for(trials_look_interval);
        if (!book_.changed())
            continue;
        co_await sleep_for(write_interval);
        if (!co_await cancelled())
            (void)co_await write();                                   // what could not be written is in the next one
    }
}

awaitable<void> TrialDesk::write_out()
{
    if (book_.changed() || in_trouble_)
        (void)co_await write();
}

awaitable<Result<Trials>> TrialDesk::command(TrialsCommand command)
{
    if (command.verb() != TrialsCommand::FORGET)
        co_return book_.tell(command);
    book_.forget();
    log_.info("an operator had forgotten what stricter settings would have refused");
    CO_TRY_VOID(co_await write());
    co_return Trials{};
}

}  // namespace posthorn::services
