// Queue files of Postfix's: those of a maildrop are anybody's. Whatever they hold, reading ends, names an octet of the file where it fails, gives content in
// whole lines and of the size it says, addresses that fit an envelope and a log line, and what was read is read again as it is when it is written into a file
// of our own.
#include "fuzz.hpp"

#include <algorithm>

#include "migrate/queue_file.hpp"

namespace posthorn::fuzz {

using namespace posthorn::migrate;

namespace {

struct Outcome {
    Result<QueueFile> file = Error{"not read"};
    std::string content;
};

Outcome read(std::string_view octets)
{
    Outcome outcome;
    outcome.file = read_queue_file(octets, [&](std::string_view piece) {
        outcome.content += piece;
        return Result<void>();
    });
    return outcome;
}

bool clean(std::string_view text)
{
    return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const Outcome once = read(input);
    FUZZ_CHECK(once.content.size() <= 2 * (2 * input.size() + 1024));
    if (!once.file) {
        FUZZ_CHECK(once.file.error().text().starts_with("queue file, octet "));
        return;
    }
    handoff::Envelope envelope = once.file->envelope;
    FUZZ_CHECK(envelope.size() == once.content.size());
    FUZZ_CHECK(once.content.empty() || once.content.ends_with("\r\n"));
    FUZZ_CHECK(envelope.arrival() > 0 && clean(envelope.sender()) && clean(envelope.redirect()) && clean(envelope.filter()));
    for (int i = 0; i < envelope.recipients_size(); ++i) {
        const handoff::Recipient& one = envelope.recipients(i);
        FUZZ_CHECK(one.index() == static_cast<std::uint32_t>(i) && !one.address().empty() && clean(one.address()) && clean(one.original()) &&
                   clean(one.orcpt()));
    }

    QueueFileWriter writer;
    auto written = writer.begin(envelope);
    FUZZ_CHECK(written.has_value());
    for (std::size_t at = 0; at < once.content.size(); at += 1000)
        *written += writer.content(std::string_view(once.content).substr(at, 1000));
    *written += writer.end(envelope);
    const std::string sizes = writer.sizes();
    written->replace(0, sizes.size(), sizes);
    const Outcome again = read(*written);
    FUZZ_CHECK(again.file.has_value());
    FUZZ_CHECK(again.file->envelope.recipients_size() == envelope.recipients_size() && again.file->envelope.sender() == envelope.sender() &&
               again.file->envelope.arrival() == envelope.arrival());
    for (int i = 0; i < envelope.recipients_size(); ++i)
        FUZZ_CHECK(again.file->envelope.recipients(i).SerializeAsString() == envelope.recipients(i).SerializeAsString());
    // A line end of the text's own becomes one of the message's; nothing else changes.
    bool whole_lines = true;
    for (std::size_t i = 0; i < once.content.size(); ++i)
        whole_lines &= once.content[i] != '\n' || (i > 0 && once.content[i - 1] == '\r');
    if (whole_lines)
        FUZZ_CHECK(again.content == once.content);
}

}  // namespace posthorn::fuzz
