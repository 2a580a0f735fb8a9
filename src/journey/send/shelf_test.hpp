// send/shelf_test.hpp: a client that learns before one peer of sim/, and what is read off the peer's own transcript.
#pragma once

#include "base/strings.hpp"
#include "peers/book.hpp"
#include "send/world_test.hpp"

#include <set>

namespace posthorn::send {

/// What a peer took, by its own account: the subject of each content that it answered with 2yz, and for whom.
struct Taken {
    std::map<std::pair<std::string, std::string>, unsigned> times;      // (subject, recipient)

    void add(const sim::Session& session)
    {
        std::vector<std::string> recipients, asked;
        std::string subject, last;
        std::size_t content = 0, answers = 0;
        bool lmtp = false, reading = false;
        for (const std::string& line : session.transcript) {
            const std::string_view text = std::string_view(line).substr(3);
            if (line.starts_with("C: ")) {
                last = text;
                lmtp = lmtp || istarts_with(text, "LHLO");
                if (istarts_with(text, "MAIL") || istarts_with(text, "RSET") || istarts_with(text, "EHLO"))
                    recipients.clear();
                reading = false;
            } else if (line.starts_with("*: ") && line.ends_with(" octets of content")) {
                const std::string& octets = session.contents[content++];
                subject += octets.substr(0, octets.find('\r'));
                reading = istarts_with(last, "DATA") || iends_with(last, "LAST");
                answers = 0;
            } else if (line.starts_with("S: ") && text.size() > 3 && text[3] != '-') {
                const bool good = text[0] == '2';
                if (istarts_with(last, "RCPT TO:") && good && !reading)
                    recipients.push_back(address_of(last));
                if (!reading)
                    continue;
                if (good && !lmtp)
                    for (const std::string& recipient : recipients)
                        ++times[{subject, recipient}];
                else if (good && answers < recipients.size())
                    ++times[{subject, recipients[answers]}];
                ++answers;
                if (lmtp && answers < recipients.size())
                    continue;
                recipients.clear();
                subject.clear();
                reading = false;
            }
        }
    }

    static std::string address_of(std::string_view rcpt)
    {
        const auto from = rcpt.find('<'), to = rcpt.find('>');
        return from == rcpt.npos || to == rcpt.npos ? std::string() : std::string(rcpt.substr(from + 1, to - from - 1));
    }
    static bool iends_with(std::string_view text, std::string_view end)
    {
        return text.size() >= end.size() && iequals(text.substr(text.size() - end.size()), end);
    }
};

/// A world whose agent learns, at a time that passes only where nothing else is left to do.
struct Shelf : World {
    explicit Shelf(std::string_view script, peers::Learning mode = peers::Learning::yes, std::shared_ptr<const peers::Rules> rules = nullptr)
        : World(), book(hand, {.learning = mode}, std::move(rules))
    {
        settings.patience = std::chrono::hours(2);
        if (!script.empty())
            add("192.0.2.2", script);
        turned = &hand;
        leaps = &hand;
        knowledge = &book;
        book.on_event = [this](const peers::Event& event) { told.push_back(peers::text_of(event)); };
    }

    std::string quirks(const std::string& address = "192.0.2.2")
    {
        return book.about({{address, peer(address).script().host, "smtp:[192.0.2.2]"}, "220 x", {}}).learned.text();
    }

    HandClock hand;
    peers::Book book;
    std::vector<std::string> told;
};

}  // namespace posthorn::send
