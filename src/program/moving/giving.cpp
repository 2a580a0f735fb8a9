#include "moving/giving.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <thread>
#include <utility>

namespace posthorn::moving {

using handoff::HandOver;
using handoff::MovingMessage;
using handoff::TakenMessage;

HandOver Giving::question(HandOver::Step step) const
{
    HandOver made;
    made.set_step(step);
    made.set_target(target_);
    made.set_name(target_name_);
    return made;
}

Result<void> Giving::begin()
{
    TRY(Said greeting, other_.hear());
    if (greeting.what_case() != Said::kIntroduction || !is_who(*greeting.mutable_introduction()))
        return Error{"the other end does not say who it is", "4.3.0"};
    const Introduction& target = greeting.introduction();
    if (target.format() < format)
        return Error{fmt::format("{} (Posthorn {}) cannot take over what this program has: it is older", target.name(), target.version()), "4.3.0"};
    target_ = target.identity();
    target_name_ = target.name();
    TRY(const auto begun, queue_.ask(question(HandOver::BEGIN)));
    Said said;
    Introduction& ours = *said.mutable_introduction();
    ours.set_format(format);
    ours.set_version(version_);
    ours.set_identity(begun.source());
    ours.set_name(name_);
    *ours.mutable_in_doubt() = begun.in_doubt();
    TRY_VOID(other_.say(said));
    TRY(const Said known, other_.hear());
    if (known.what_case() != Said::kKnown)
        return Error{"the other end does not say what it has", "4.3.0"};
    const std::vector<TakenMessage> there(known.known().messages().begin(), known.known().messages().end());
    TRY_VOID(left(there));
    given_.settled = there.size();
    // Those that are not there were bound for it, and go now.
    std::vector<std::string> rest;
    for (const std::string& id : begun.in_doubt())
        if (std::ranges::find(there, id, &TakenMessage::queue_id) == there.end())
            rest.push_back(id);
    return move(std::move(rest), [] { return false; });
}

/// False: its content cannot be read to the end, and it stays here.
Result<bool> Giving::send(const MovingMessage& message)
{
    Said said;
    *said.mutable_message() = message;
    TRY_VOID(other_.say(said));
    if (!message.content().inline_octets().empty())
        return true;
    for (std::uint64_t sent = 0; sent < message.envelope().size();) {
        auto piece = queue_.content(message.queue_id(), sent);
        if (!piece || piece->empty() || piece->size() > message.envelope().size() - sent) {
            given_.refused.push_back(
                fmt::format("{}: {}", message.queue_id(), piece ? "its content is not as long as its envelope says" : piece.error().text()));
            said.set_withdrawn(true);
            TRY_VOID(other_.say(said));
            return false;
        }
        sent += piece->size();
        said.set_piece(*std::move(piece));
        TRY_VOID(other_.say(said));
    }
    return true;
}

/// They are there, on stable storage: they leave here, and then nobody asks for them again.
Result<void> Giving::left(const std::vector<TakenMessage>& there)
{
    if (there.empty())
        return {};
    HandOver done = question(HandOver::DONE);
    Said forget;
    for (const TakenMessage& taken : there) {
        done.add_queue_ids(taken.queue_id());
        done.add_there(taken.here());
        forget.mutable_forget()->add_queue_ids(taken.queue_id());
    }
    TRY(const auto removed, queue_.ask(std::move(done)));
    given_.moved += removed.count();
    return other_.say(forget);
}

Result<void> Giving::stay(const std::vector<std::string>& queue_ids)
{
    if (queue_ids.empty())
        return {};
    HandOver back = question(HandOver::BACK);
    for (const std::string& id : queue_ids)
        back.add_queue_ids(id);
    TRY_VOID(queue_.ask(std::move(back)));
    return {};
}

/// Which of them have to be asked for again.
Result<std::vector<std::string>> Giving::batch(std::vector<std::string> queue_ids, bool& moved)
{
    HandOver offer = question(HandOver::OFFER);
    for (std::string& id : queue_ids)
        offer.add_queue_ids(std::move(id));
    TRY(const auto offered, queue_.ask(std::move(offer)));
    std::vector<std::string> later(offered.later().begin(), offered.later().end()), sent, back;
    for (const TakenMessage& unreadable : offered.unreadable()) {
        back.push_back(unreadable.queue_id());
        given_.refused.push_back(fmt::format("{}: {}", unreadable.queue_id(), unreadable.text()));
    }
    for (const MovingMessage& message : offered.messages()) {
        TRY(const bool whole, send(message));
        (whole ? sent : back).push_back(message.queue_id());
    }
    TRY_VOID(stay(std::exchange(back, {})));
    moved = !sent.empty();
    if (!moved)
        return later;
    Said end;
    end.set_batch_end(true);
    TRY_VOID(other_.say(end));
    TRY(const Said answer, other_.hear());
    if (answer.what_case() != Said::kTaken || answer.taken().messages_size() != static_cast<int>(sent.size()))
        return Error{"the other end does not say what it took", "4.3.0"};
    std::vector<TakenMessage> there;
    std::string no_room;
    for (std::size_t at = 0; at < sent.size(); ++at) {
        const TakenMessage& taken = answer.taken().messages(static_cast<int>(at));
        if (taken.queue_id() != sent[at])
            return Error{"the other end speaks of messages that were not sent", "4.3.0"};
        if (!taken.here().empty()) {
            there.push_back(taken);
            continue;
        }
        back.push_back(sent[at]);
        if (taken.status() == "4.3.1")
            no_room = taken.text();
        else
            given_.refused.push_back(fmt::format("{}: {}", sent[at], printable(taken.text(), true)));
    }
    TRY_VOID(left(there));
    TRY_VOID(stay(back));
    if (!no_room.empty())
        return Error{fmt::format("{} has no room: {}", target_name_, printable(no_room, true)), "4.3.1"};
    return later;
}

Result<void> Giving::move(std::vector<std::string> queue_ids, const std::function<bool()>& stopped)
{
    std::deque<std::string> waiting(std::make_move_iterator(queue_ids.begin()), std::make_move_iterator(queue_ids.end()));
    std::vector<std::string> in_delivery;
    auto last = std::chrono::steady_clock::now();
    while (!stopped() && (!waiting.empty() || !in_delivery.empty())) {
        std::vector<std::string> some;
        for (; !waiting.empty() && some.size() < limits_.batch; waiting.pop_front())
            some.push_back(std::move(waiting.front()));
        if (some.empty()) {
            if (std::chrono::steady_clock::now() - last > limits_.patience)
                break;
            std::this_thread::sleep_for(limits_.pause);
            waiting.assign(in_delivery.begin(), in_delivery.end());
            in_delivery.clear();
            continue;
        }
        bool moved = false;
        auto later = batch(std::move(some), moved);
        if (!later) {
            TRY_VOID(stay(in_delivery));                            // of these nobody was told
            return later.error();
        }
        if (moved)
            last = std::chrono::steady_clock::now();
        std::ranges::move(*later, std::back_inserter(in_delivery));
    }
    TRY_VOID(stay(in_delivery));
    if (!stopped())
        std::ranges::move(in_delivery, std::back_inserter(given_.still_delivered));
    return {};
}

Result<void> Giving::end()
{
    TRY_VOID(queue_.ask(question(HandOver::END)));
    Said said;
    said.set_end(true);
    TRY_VOID(other_.say(said));
    TRY(const Said answer, other_.hear());
    if (answer.what_case() != Said::kEnd)
        return Error{"the other end does not say that it is done", "4.3.0"};
    return {};
}

}  // namespace posthorn::moving
