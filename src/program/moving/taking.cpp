#include "moving/taking.hpp"

#include <fmt/format.h>

namespace posthorn::moving {

using handoff::MovingMessage;
using handoff::TakeOver;

TakeOver Taking::question(TakeOver::Step step) const
{
    TakeOver made;
    made.set_step(step);
    made.set_source(source_);
    made.set_name(source_name_);
    return made;
}

Result<void> Taking::run()
{
    auto done = dialogue();
    if (!done) {
        Said failed;
        failed.set_failed(done.error().text());
        (void)other_.say(failed);                                   // it may be gone
    }
    return done;
}

Result<void> Taking::dialogue()
{
    TRY_VOID(introduce());
    for (;;) {
        TRY(Said said, other_.hear());
        switch (said.what_case()) {
        case Said::kMessage: TRY_VOID(receive(std::move(*said.mutable_message()))); break;
        case Said::kPiece: TRY_VOID(receive(said.piece())); break;
        case Said::kWithdrawn:
            if (batch_.empty() || batch_.back().missing == 0)
                return Error{"a message is withdrawn that is whole", "4.3.0"};
            batch_.pop_back();
            break;
        case Said::kBatchEnd: TRY_VOID(take()); break;
        case Said::kForget: {
            TakeOver forget = question(TakeOver::FORGET);
            *forget.mutable_queue_ids() = said.forget().queue_ids();
            TRY_VOID(queue_.ask(std::move(forget)));
            break;
        }
        case Said::kEnd: return other_.say(said);
        default: return Error{"what comes now was not expected here", "4.3.0"};
        }
    }
}

Result<void> Taking::introduce()
{
    TRY(const auto begun, queue_.ask(question(TakeOver::BEGIN)));
    Said said;
    Introduction& ours = *said.mutable_introduction();
    ours.set_format(format);
    ours.set_version(version_);
    ours.set_identity(begun.target());
    ours.set_name(name_);
    TRY_VOID(other_.say(said));
    TRY(Said opening, other_.hear());
    if (opening.what_case() != Said::kIntroduction || !is_who(*opening.mutable_introduction()))
        return Error{"the other end does not say who it is", "4.3.0"};
    const Introduction& source = opening.introduction();
    if (source.format() > format)
        return Error{fmt::format("{} (Posthorn {}) has what this program cannot take over: it is newer", source.name(), source.version()), "4.3.0"};
    source_ = source.identity();
    source_name_ = source.name();
    TakeOver known = question(TakeOver::KNOWN);
    *known.mutable_queue_ids() = source.in_doubt();
    TRY(const auto answer, queue_.ask(std::move(known)));
    *said.mutable_known()->mutable_messages() = answer.taken();
    return other_.say(said);
}

Result<std::string> Taking::new_id()
{
    if (ids_.empty()) {
        TakeOver wanted = question(TakeOver::IDS);
        wanted.set_count(static_cast<std::uint32_t>(largest_batch));
        TRY(const auto given, queue_.ask(std::move(wanted)));
        ids_.assign(given.queue_ids().rbegin(), given.queue_ids().rend());
        if (ids_.empty())
            return Error{"no queue ids are to be had", "4.3.0"};
    }
    std::string id = std::move(ids_.back());
    ids_.pop_back();
    if (id.empty())
        return Error{"no queue ids are to be had", "4.3.0"};
    return id;
}

Result<void> Taking::receive(MovingMessage message)
{
    if (!batch_.empty() && batch_.back().missing > 0)
        return Error{"a message comes before the content of the one before it is whole", "4.3.0"};
    octets_ += message.ByteSizeLong();
    if (batch_.size() == largest_batch || octets_ > largest_batch_octets)
        return Error{"more comes at once than can be taken", "4.3.0"};
    if (!message.content().file().empty())
        return Error{"content is said to be in a file", "4.3.0"};
    if (!is_id(message.queue_id()))
        return Error{"a message comes without its queue id there", "4.3.0"};
    TRY(std::string id, new_id());
    Coming& coming = batch_.emplace_back();
    coming.message = std::move(message);
    coming.message.mutable_envelope()->set_queue_id(id);
    if (!coming.message.content().inline_octets().empty() || coming.message.envelope().size() == 0)
        return {};
    TRY(coming.file, queue_.file(id));
    coming.missing = coming.message.envelope().size();
    coming.message.mutable_content()->set_file(std::move(id));
    return {};
}

Result<void> Taking::receive(std::string_view piece)
{
    if (batch_.empty() || batch_.back().missing < piece.size() || piece.empty())
        return Error{"content comes that belongs to no message", "4.3.0"};
    Coming& coming = batch_.back();
    TRY_VOID(coming.file->append(piece));
    coming.missing -= piece.size();
    if (coming.missing == 0)
        TRY_VOID(coming.file->sync());
    return {};
}

Result<void> Taking::take()
{
    if (!batch_.empty() && batch_.back().missing > 0)
        return Error{"content ends before it is whole", "4.3.0"};
    TakeOver asked = question(TakeOver::TAKE);
    for (Coming& coming : batch_)
        *asked.add_messages() = std::move(coming.message);
    const auto answer = queue_.ask(std::move(asked));
    if (!answer || answer->taken_size() != static_cast<int>(batch_.size())) {
        // What became of them is not known here: the queue removes what no message names.
        for (const Coming& coming : batch_)
            if (coming.file)
                coming.file->keep();
        return answer ? Error{"the queue does not say what it took", "4.3.0"} : answer.error();
    }
    Said said;
    *said.mutable_taken()->mutable_messages() = answer->taken();
    for (std::size_t at = 0; at < batch_.size(); ++at) {
        const handoff::TakenMessage& taken = answer->taken(static_cast<int>(at));
        if (taken.here().empty() || taken.before())
            continue;
        ++taken_;
        if (batch_[at].file)
            batch_[at].file->keep();
    }
    batch_.clear();
    octets_ = 0;
    return other_.say(said);
}

}  // namespace posthorn::moving
