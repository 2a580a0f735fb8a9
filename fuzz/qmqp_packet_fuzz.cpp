// A QMQP packet: the pieces in which it arrives do not matter, limits hold, what is behind its end stays, and what is written as netstrings is read back.
#include "fuzz.hpp"

#include "receive/qmqp_packet.hpp"

#include <string>

namespace posthorn::fuzz {

namespace {

using receive::QmqpPacket;

constexpr QmqpPacket::Limits limits{.content = 300, .address = 40};

struct Outcome {
    QmqpPacket packet{limits};
    std::size_t read = 0;
    bool whole = false, failed = false;
    QmqpPacket::Fault fault{};
};

bool feed(Outcome& outcome, std::string_view piece)
{
    std::string_view rest = piece;
    const auto whole = outcome.packet.feed(rest);
    FUZZ_CHECK(inside(rest, piece));
    outcome.read += piece.size() - rest.size();
    outcome.whole = whole.has_value() && *whole;
    outcome.failed = !whole.has_value();
    if (!whole)
        outcome.fault = whole.error();
    FUZZ_CHECK(outcome.whole || outcome.failed || rest.empty());
    return !outcome.whole && !outcome.failed;
}

std::string netstring(std::string_view text) { return std::to_string(text.size()) + ":" + std::string(text) + ","; }

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices(input);
    const std::uint32_t seed = choices.octet();
    Outcome at_once, piecewise;
    (void)feed(at_once, input);
    in_pieces(input, seed, [&](std::string_view piece) { return feed(piecewise, piece); });
    FUZZ_CHECK(at_once.whole == piecewise.whole && at_once.failed == piecewise.failed);
    FUZZ_CHECK(!at_once.failed || (at_once.fault == piecewise.fault && at_once.packet.part() == piecewise.packet.part()));
    FUZZ_CHECK(at_once.packet.content() == piecewise.packet.content() && at_once.packet.sender() == piecewise.packet.sender());
    FUZZ_CHECK(at_once.packet.recipients() == piecewise.packet.recipients());
    FUZZ_CHECK(!at_once.whole || at_once.read == piecewise.read);
    FUZZ_CHECK(at_once.packet.content().size() <= limits.content && at_once.packet.sender().size() <= limits.address);
    for (const std::string& recipient : at_once.packet.recipients())
        FUZZ_CHECK(recipient.size() <= limits.address);

    const auto path = receive::qmqp_return_path(at_once.packet.sender());
    FUZZ_CHECK(path.verp.empty() ? path.sender == at_once.packet.sender()
                                 : path.verp.size() == 2 && path.sender.size() + 5 == at_once.packet.sender().size());

    if (!at_once.whole)
        return;
    std::string inner = netstring(at_once.packet.content()) + netstring(at_once.packet.sender());
    for (const std::string& recipient : at_once.packet.recipients())
        inner += netstring(recipient);
    Outcome again;
    const std::string written = netstring(inner) + "more";
    (void)feed(again, written);
    FUZZ_CHECK(again.whole && again.read + 4 == written.size());
    FUZZ_CHECK(again.packet.content() == at_once.packet.content() && again.packet.sender() == at_once.packet.sender());
    FUZZ_CHECK(again.packet.recipients() == at_once.packet.recipients());
}

}  // namespace posthorn::fuzz
