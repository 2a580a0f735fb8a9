// Messages of Exim's spool: the files are Exim's, what is in them is anybody's. Whatever they hold, reading ends, names the file and the line where it fails, gives
// content in whole lines and of the size it says, at most twice as long as what it was made of, and addresses that fit an envelope and a log line. Who is done with is
// not a recipient. A journal of all who are open leaves none.
// The input: -H, and behind a zero octet each -D, -J and the message log.
#include "fuzz.hpp"

#include <algorithm>
#include <array>

#include "exim/spool_message.hpp"

namespace posthorn::fuzz {

using namespace posthorn::exim;

namespace {

constexpr std::string_view id = "1tGhmS-000GtA-2Q";

struct Outcome {
    Result<SpoolMessage> message = Error{"not read"};
    std::string content;
};

Outcome read(const SpoolFiles& files)
{
    Outcome outcome;
    outcome.message = read_spool_message(id, files, [&](std::string_view piece) {
        outcome.content += piece;
        return Result<void>();
    });
    return outcome;
}

bool clean(std::string_view text)
{
    return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void check_content(const Outcome& once, const SpoolFiles& files)
{
    FUZZ_CHECK(once.message->envelope.size() == once.content.size());
    FUZZ_CHECK(once.content.size() <= 2 * (files.head.size() + files.data.size()) + 4);
    FUZZ_CHECK(once.content.ends_with("\r\n"));
    for (std::size_t i = 0; i < once.content.size(); ++i)
        FUZZ_CHECK(once.content[i] != '\n' || (i > 0 && once.content[i - 1] == '\r'));
}

void check_envelope(const handoff::Envelope& envelope)
{
    FUZZ_CHECK(envelope.arrival() > 0 && clean(envelope.sender()) && clean(envelope.envid()) && clean(envelope.client().helo()) &&
               clean(envelope.client().name()) && clean(envelope.client().address()) && clean(envelope.client().sasl_username()));
    for (int i = 0; i < envelope.recipients_size(); ++i) {
        const handoff::Recipient& one = envelope.recipients(i);
        FUZZ_CHECK(one.index() == static_cast<std::uint32_t>(i) && !one.address().empty() && clean(one.address()) && clean(one.orcpt()) &&
                   one.notify() < 16);
    }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    std::array<std::string_view, 4> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::size_t end = i + 1 < parts.size() ? input.find('\0') : input.npos;
        parts[i] = input.substr(0, end);
        input.remove_prefix(end == input.npos ? input.size() : end + 1);
    }
    const std::string data = std::string(id) + "-D\n" + std::string(parts[1]);
    const SpoolFiles files{.head = parts[0], .data = data, .journal = parts[2], .log = parts[3]};
    const Outcome once = read(files);
    if (!once.message) {
        FUZZ_CHECK(once.message.error().text().starts_with(std::string(id) + "-H"));
        return;
    }
    check_content(once, files);
    check_envelope(once.message->envelope);

    std::string journal(parts[2]);
    if (!journal.empty() && !journal.ends_with('\n'))
        journal += '\n';
    for (const handoff::Recipient& one : once.message->envelope.recipients())
        journal += one.address() + "\n";
    const Outcome done = read({.head = parts[0], .data = data, .journal = journal, .log = parts[3]});
    FUZZ_CHECK(done.message.has_value() && done.message->envelope.recipients_size() == 0);
    FUZZ_CHECK(done.message->done == once.message->done + static_cast<std::uint32_t>(once.message->envelope.recipients_size()));
    FUZZ_CHECK(done.content == once.content);
}

}  // namespace posthorn::fuzz
