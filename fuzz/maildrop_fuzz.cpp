// Files of the maildrop, which anybody may write: the pieces they are read in do not matter, what comes out is fit for an envelope and a
// log line, nothing of it was not the user's to decide, every line ends in CRLF, a record cut short is never a message, and what was
// taken is taken again as it is when it is written into a record of its own.
#include "fuzz.hpp"

#include <optional>

#include "submit/pick_up.hpp"

namespace posthorn::fuzz {

using namespace posthorn::submit;

namespace {

struct Outcome {
    std::string error, content, envelope;
    std::optional<handoff::Envelope> message;
};

Outcome read(std::string_view input, std::uint32_t seed, bool whole)
{
    Outcome outcome;
    PickUp reader({.content = 4096, .recipients = 20, .address = 200}, {1000, WallTime{}}, [&](std::string_view octets) {
        outcome.content += octets;
        return Result<void>();
    });
    const auto feed = [&](std::string_view piece) {
        if (auto fed = reader.feed(piece); !fed)
            outcome.error = fed.error().text();
        return outcome.error.empty();
    };
    if (whole)
        feed(input);
    else
        in_pieces(input, seed, feed);
    if (!outcome.error.empty())
        return outcome;
    if (auto done = reader.finish(); done) {
        outcome.message = *done;
        outcome.envelope = done->SerializeAsString();
    } else {
        outcome.error = done.error().text();
    }
    return outcome;
}

bool clean(std::string_view text)
{
    return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::uint32_t seed = choices.octet();
    const Outcome once = read(input, 0, true), pieces = read(input, seed, false);
    FUZZ_CHECK(once.error == pieces.error && once.content == pieces.content && once.envelope == pieces.envelope);
    FUZZ_CHECK(once.message.has_value() == once.error.empty());
    if (!once.message)
        return;
    const handoff::Envelope& message = *once.message;
    FUZZ_CHECK(message.size() == once.content.size());
    FUZZ_CHECK(once.content.empty() || once.content.ends_with("\r\n"));
    for (std::size_t at = once.content.find('\n'); at != once.content.npos; at = once.content.find('\n', at + 1))
        FUZZ_CHECK(at > 0 && once.content[at - 1] == '\r');
    FUZZ_CHECK(message.recipients_size() > 0 && message.recipients_size() <= 20);
    FUZZ_CHECK(clean(message.sender()) && clean(message.full_name()) && clean(message.envid()));
    for (const handoff::Recipient& recipient : message.recipients())
        FUZZ_CHECK(!recipient.address().empty() && recipient.address().size() <= 200 && clean(recipient.address()) && clean(recipient.orcpt()));
    FUZZ_CHECK(message.submitter() == 1000 && message.queue_id().empty() && !message.hold() && message.filter().empty() &&
               message.redirect().empty() && !message.has_client() && message.hops() == 0 && message.bounce_to().empty());
    FUZZ_CHECK(!read(input.substr(0, input.size() - 1), 0, true).message);
    const Outcome again = read(encode_head(once.envelope) + encode_content(once.content) + encode_end(), seed, false);
    FUZZ_CHECK(again.envelope == once.envelope && again.content == once.content);
}

}  // namespace posthorn::fuzz
