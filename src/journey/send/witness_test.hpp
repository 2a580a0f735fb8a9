// send/witness_test.hpp: what a client wrote and read on its connections, and which ends of mail that allows: an oracle of its own beside
// session.cpp, by design.md 1.4. For tests with servers that may do anything.
// Hears     Tap: a stream that keeps each write, each read and how it ended, in order.
// Position  the n-th reply answers the n-th command (the greeting is the first; LMTP's content has one for each accepted recipient).
// Flight    commands written while no earlier one waited for its answer.
// A refusal counts only where it is whole, all before it fits its place, nothing was read before the flight that nobody had asked for, and
//           the flight's answers add up: not more than asked, none that fits no place; of one that was waited for in vain, only what has
//           but one place to stand (tried out, one by one).
#pragma once

#include "base/strings.hpp"
#include "net/stream.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace posthorn::send {

/// One connection, as its client saw it.
class Witness {
public:
    enum class Kind : std::uint8_t { greeting, hello, helo, mail, rcpt, data, content, chunk, rset, quit, other };

    Witness(bool lmtp, std::size_t reply_octets) : lmtp_(lmtp), parser_({.octets = reply_octets}), most_(reply_octets)
    {
        commands_.push_back({Kind::greeting, {}, 0, 0});
    }

    void wrote(std::string_view octets)
    {
        const std::size_t asked = places().size();
        if (replies_.size() >= asked) {
            ++flight_;
            if (replies_.size() > asked || parser_.amid())
                unasked_.insert(flight_);                           // it was there to be read: no answer of this flight is certain
        }
        text_ += octets;
        parse();
    }
    void read(std::string_view octets)
    {
        since_reply_ += octets.size();
        too_much_ = too_much_ || since_reply_ > most_ + 8192;
        const bool waited = replies_.size() < places().size();
        while (!octets.empty()) {
            if (waited && replies_.size() >= places().size() && !octets.starts_with("421"))
                surplus_.insert(flight_);                           // came with the last answer
            auto reply = parser_.feed(octets);
            if (!reply || !*reply)
                break;
            replies_.push_back(**reply);
            since_reply_ = octets.size();
        }
    }
    void ended() { ended_ = true; }

    struct Place {
        std::size_t command;
        std::size_t answer;     // LMTP: the how manieth of the content's
    };
    /// Which command each reply answers.
    std::vector<Place> places() const
    {
        std::vector<Place> all;
        for (std::size_t i = 0; i < commands_.size(); ++i) {
            std::size_t answers = 1;
            if (lmtp_ && commands_[i].kind == Kind::content) {
                answers = 0;
                for (std::size_t place = 0; place < all.size() && place < replies_.size(); ++place) {
                    const Command& command = commands_[all[place].command];
                    answers += command.kind == Kind::rcpt && command.mail == commands_[i].mail && replies_[place].positive() ? 1 : 0;
                }
                answers = std::max<std::size_t>(answers, 1);
            }
            for (std::size_t answer = 0; answer < answers; ++answer)
                all.push_back({i, answer});
        }
        return all;
    }

    /// How many replies can be believed: those before the first that holds garbage, or answers a flight during which the server spoke unasked.
    std::size_t believed(const std::vector<Place>& all) const
    {
        const std::size_t answered = std::min(replies_.size(), all.size());
        for (std::size_t at = 1; at < answered; ++at)
            if (replies_[at].garbage != 0 || unasked_.contains(commands_[all[at].command].flight))
                return at;
        return answered;
    }

    /// Does a reply with these words return mail (or a probe) from this sender to this recipient?
    bool refuses(std::string_view words, std::string_view sender, std::string_view recipient) const
    {
        const auto all = places();
        for (std::size_t at = 1, end = believed(all); at < end; ++at) {
            const smtp::Reply& reply = replies_[at];
            const Command& command = commands_[all[at].command];
            if (reply.permanent() && !reply.mixed_codes && reply.logged() == words && concerns(all, at, sender, recipient) &&
                !(speaks_of_saying(reply.code) && (behind_another(all, at) || command.kind == Kind::helo)) && adds_up(all, at))
                return true;
            if (!fits(command.kind, reply))
                return false;
        }
        return false;
    }

    /// Was it taken? `probe`: said to be good.
    bool took(std::string_view sender, std::string_view recipient, bool probe, bool by_data) const
    {
        const auto all = places();
        for (std::size_t at = 1; at < replies_.size() && at < all.size(); ++at) {
            const Command& command = commands_[all[at].command];
            if (!fits(command.kind, replies_[at]) && command.kind != Kind::hello)
                return false;                                       // another answer to EHLO means HELO
            const Kind end = probe ? by_data ? Kind::data : Kind::rcpt : Kind::content;
            if (command.kind == end && replies_[at].code < 400 && concerns(all, at, sender, recipient))
                return true;
        }
        return false;
    }

    /// How often its content went out as a whole and was not refused: it may have been taken as often.
    unsigned may_have_taken(std::string_view sender, std::string_view recipient) const
    {
        const auto all = places();
        unsigned times = 0;
        for (std::size_t at = 1; at < all.size(); ++at) {
            const Command& command = commands_[all[at].command];
            if (command.kind != Kind::content || !command.whole || !concerns(all, at, sender, recipient))
                continue;
            const bool refused = at < replies_.size() && replies_[at].code >= 400 && replies_[at].code < 600;
            times += refused ? 0 : 1;
        }
        return times;
    }

    /// What replies to EHLO announced; of any of them.
    bool announced(const std::function<bool(const smtp::Features&)>& what) const
    {
        const auto all = places();
        for (std::size_t at = 1; at < replies_.size() && at < all.size(); ++at)
            if (commands_[all[at].command].kind == Kind::hello && replies_[at].positive() && what(smtp::parse_ehlo(replies_[at])))
                return true;
        return false;
    }
    /// Did EHLO's own answer say that it lacks this? 500 and 502: it lacks EHLO.
    bool lacks(smtp::Keyword keyword) const
    {
        const auto all = places();
        for (std::size_t at = 1, end = believed(all); at < end; ++at) {
            const smtp::Reply& reply = replies_[at];
            const Command& command = commands_[all[at].command];
            if (command.kind == Kind::hello &&
                (reply.positive() ? !smtp::parse_ehlo(reply).has(keyword) : reply.valid() && (reply.code == 500 || reply.code == 502)))
                return true;
        }
        return false;
    }
    /// Said more than the last EHLO reply allowed (LIMITS, RFC 9422).
    bool over_limits() const
    {
        const auto all = places();
        smtp::Limits limits;
        std::size_t mails = 0, recipients = 0;
        std::set<std::string, std::less<>> domains;
        for (std::size_t at = 1; at < all.size(); ++at) {
            const Command& command = commands_[all[at].command];
            switch (command.kind) {
            case Kind::hello:
            case Kind::helo:
                limits = {};
                if (command.kind == Kind::hello && at < replies_.size() && replies_[at].positive())
                    limits = smtp::parse_ehlo(replies_[at]).limits;
                mails = recipients = 0;
                domains.clear();
                break;
            case Kind::mail:
                recipients = 0;
                if (++mails > limits.mail_max && limits.mail_max != 0)
                    return true;
                break;
            case Kind::rcpt:
                domains.insert(command.address.substr(command.address.rfind('@') + 1));
                if ((++recipients > limits.rcpt_max && limits.rcpt_max != 0) ||
                    (domains.size() > limits.rcpt_domain_max && limits.rcpt_domain_max != 0))
                    return true;
                break;
            default: break;
            }
        }
        return false;
    }
    /// Commands by flight, each with its answers: for who looks into a finding.
    std::string text() const
    {
        constexpr std::string_view names[] = {"greeting", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "content", "chunk", "RSET", "QUIT", "other"};
        std::string all;
        const auto where = places();
        for (std::size_t at = 0; at < std::max(where.size(), replies_.size()); ++at) {
            if (at < where.size()) {
                const Command& command = commands_[where[at].command];
                all +=
                    fmt::format(" [{}{}{}] {} {}", command.flight, unasked_.contains(command.flight) ? " unasked" : "",
                                surplus_.contains(command.flight) ? " surplus" : "", names[static_cast<std::size_t>(command.kind)], command.address);
            }
            all += at < replies_.size() ? fmt::format(": {}{}", replies_[at].garbage ? "(garbage) " : "", replies_[at].logged()) : ": -";
        }
        return all + (ended_ ? " end" : "");
    }
    std::size_t asked() const { return places().size(); }
    /// It went on reading a reply that has no end.
    bool read_too_much() const { return too_much_; }

private:
    struct Command {
        Kind kind;
        std::string address;    // of mail, rcpt
        std::size_t flight;
        std::size_t mail;       // the how manieth MAIL it belongs to
        bool whole = false;     // content: its end was written
    };

    static bool speaks_of_saying(int code) { return code == 500 || code == 502 || code == 503 || code == 504; }

    static bool fits(Kind kind, const smtp::Reply& reply)
    {
        if (kind == Kind::quit || !reply.valid() || reply.code == 421 || reply.code == 221)
            return kind == Kind::quit && reply.valid();
        if (reply.code >= 400)
            return true;
        return kind == Kind::data ? reply.code == 354 : reply.positive();
    }

    bool accepted(const std::vector<Place>& all, std::size_t mail, std::string_view recipient, std::size_t nth) const
    {
        std::size_t before = 0;
        for (std::size_t at = 0; at < all.size() && at < replies_.size(); ++at) {
            const Command& command = commands_[all[at].command];
            if (command.kind != Kind::rcpt || command.mail != mail || !replies_[at].positive())
                continue;
            if (command.address == recipient)
                return !lmtp_ || nth == SIZE_MAX || before == nth;
            ++before;
        }
        return false;
    }

    bool concerns(const std::vector<Place>& all, std::size_t at, std::string_view sender, std::string_view recipient) const
    {
        const Command& command = commands_[all[at].command];
        std::string from;
        bool named = false, listed = false;
        for (const Command& one : commands_) {
            if (one.mail != command.mail)
                continue;
            if (one.kind == Kind::mail)
                from = one.address;
            named = named || one.kind == Kind::rcpt;
            listed = listed || (one.kind == Kind::rcpt && one.address == recipient);
        }
        switch (command.kind) {
        case Kind::hello: return lmtp_;                             // in SMTP HELO follows, and decides
        case Kind::helo: return true;
        case Kind::mail: return from == sender && (listed || !named);
        case Kind::rcpt: return from == sender && command.address == recipient;
        case Kind::data: return from == sender && accepted(all, command.mail, recipient, SIZE_MAX);
        case Kind::chunk: return from == sender && accepted(all, command.mail, recipient, SIZE_MAX);
        case Kind::content: return from == sender && accepted(all, command.mail, recipient, all[at].answer);
        default: return false;
        }
    }

    bool behind_another(const std::vector<Place>& all, std::size_t at) const
    {
        const Command& command = commands_[all[at].command];
        return all[at].command != 0 && commands_[all[at].command - 1].flight == command.flight;
    }

    /// Can nobody else have been meant, as far as this flight tells?
    bool adds_up(const std::vector<Place>& all, std::size_t at) const
    {
        const std::size_t flight = commands_[all[at].command].flight;
        std::vector<Kind> asked;
        std::vector<const smtp::Reply*> answers;
        std::size_t here = 0;
        for (std::size_t place = 0; place < all.size(); ++place) {
            if (commands_[all[place].command].flight != flight)
                continue;
            here = place == at ? asked.size() : here;
            asked.push_back(commands_[all[place].command].kind);
            if (place < replies_.size())
                answers.push_back(&replies_[place]);
        }
        if (asked.size() < 2)
            return true;
        const bool surplus = surplus_.contains(flight);
        for (std::size_t i = 0; i < answers.size(); ++i) {
            const int code = answers[i]->code;
            // It took its leave: the others have no answer, and what it says beyond is not counted.
            if (code == 421 || (code == 221 && asked[i] != Kind::quit))
                return !(surplus && i + 1 == asked.size()) && (code == 421 || asked.back() != Kind::quit);
            if (!fits(asked[i], *answers[i]))
                return false;
        }
        if (surplus)
            return false;
        return answers.size() == asked.size() || ended_ || !elsewhere(asked, answers, here, 0, 0);
    }

    /// Is there a way to give each answer, in order, a command that it fits, so that the one at `here` is not at its own?
    static bool elsewhere(const std::vector<Kind>& asked, const std::vector<const smtp::Reply*>& answers, std::size_t here, std::size_t answer,
                          std::size_t from)
    {
        if (answer == answers.size())
            return true;
        for (std::size_t command = from; command < asked.size(); ++command)
            if ((answer != here || command != here) && fits(asked[command], *answers[answer]) &&
                elsewhere(asked, answers, here, answer + 1, command + 1))
                return true;
        return false;
    }

    /// Takes from text_ what is whole.
    void parse()
    {
        for (;;) {
            if (chunk_left_ != 0) {
                const std::size_t part = std::min(chunk_left_, text_.size());
                text_.erase(0, part);
                chunk_left_ -= part;
                if (chunk_left_ != 0)
                    return;
                commands_[content_].whole = true;
            }
            if (in_data()) {
                const std::size_t end = text_.starts_with(".\r\n") ? 0 : text_.find("\r\n.\r\n");
                if (content_ == 0 || commands_[content_].mail != mail_ || commands_[content_].kind != Kind::content) {
                    if (text_.empty())
                        return;
                    add(Kind::content);
                    content_ = commands_.size() - 1;
                }
                if (end == text_.npos)
                    return;
                commands_[content_].whole = end != 0;               // a lone dot is the end of nothing: 354 for nobody
                text_.erase(0, end == 0 ? 3 : end + 5);
                data_ = SIZE_MAX;
                continue;
            }
            const std::size_t end = text_.find("\r\n");
            if (end == text_.npos)
                return;
            command(text_.substr(0, end));
            text_.erase(0, end + 2);
        }
    }
    /// DATA was answered with 354: what is written next is content.
    bool in_data() const
    {
        if (data_ == SIZE_MAX)
            return false;
        const auto all = places();
        for (std::size_t at = 0; at < all.size() && at < replies_.size(); ++at)
            if (all[at].command == data_)
                return replies_[at].code == 354;
        return false;
    }
    void add(Kind kind, std::string address = {}) { commands_.push_back({kind, std::move(address), flight_, mail_}); }
    void command(std::string_view line)
    {
        const auto address = [&] {
            const std::size_t from = line.find('<'), to = line.find('>');
            return from == line.npos || to == line.npos ? std::string() : std::string(line.substr(from + 1, to - from - 1));
        };
        if (istarts_with(line, "EHLO") || istarts_with(line, "LHLO"))
            add(Kind::hello);
        else if (istarts_with(line, "HELO"))
            add(Kind::helo);
        else if (istarts_with(line, "MAIL FROM:")) {
            ++mail_;
            add(Kind::mail, address());
        } else if (istarts_with(line, "RCPT TO:"))
            add(Kind::rcpt, address());
        else if (iequals(line, "DATA")) {
            add(Kind::data);
            data_ = commands_.size() - 1;
        } else if (istarts_with(line, "BDAT ")) {
            const auto words = split(line);
            const bool last = words.size() > 2;
            add(last ? Kind::content : Kind::chunk);
            content_ = commands_.size() - 1;
            chunk_left_ = parse_number(words[1]).value_or(0);
            commands_[content_].whole = chunk_left_ == 0;
        } else
            add(iequals(line, "RSET") ? Kind::rset : iequals(line, "QUIT") ? Kind::quit : Kind::other);
    }

    bool lmtp_;
    smtp::ReplyParser parser_;
    std::size_t most_, since_reply_ = 0;
    std::vector<Command> commands_;
    std::vector<smtp::Reply> replies_;
    std::string text_;
    std::size_t flight_ = 0, mail_ = 0, content_ = 0, chunk_left_ = 0, data_ = SIZE_MAX;
    std::set<std::size_t> unasked_, surplus_;   // flights
    bool ended_ = false, too_much_ = false;
};

/// Hands on, and tells the witness.
class Tap final : public net::Stream {
public:
    Tap(std::unique_ptr<net::Stream> inner, std::shared_ptr<Witness> witness) : inner_(std::move(inner)), witness_(std::move(witness)) {}

    net::Io try_read(std::span<char> room) override
    {
        const net::Io io = inner_->try_read(room);
        if (io.state == net::Io::State::done)
            witness_->read(std::string_view(room.data(), io.octets));
        else if (io.state != net::Io::State::again)
            witness_->ended();
        return told(io);
    }
    net::Io try_write(std::span<const iovec> pieces) override
    {
        const net::Io io = inner_->try_write(pieces);
        std::string octets;
        for (const iovec& piece : pieces)
            octets.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
        if (io.state == net::Io::State::done && io.octets != 0)
            witness_->wrote(std::string_view(octets).substr(0, io.octets));
        return told(io);
    }
    net::Io try_flush() override { return inner_->try_flush(); }
    awaitable<Result<void>> wait(net::Direction direction) override { return inner_->wait(direction); }
    void expires_at(SteadyTime deadline) override { inner_->expires_at(deadline); }
    SteadyTime deadline() const override { return inner_->deadline(); }
    awaitable<Result<void>> shutdown() override { return inner_->shutdown(); }
    void close() override { inner_->close(); }
    void abort() override { inner_->abort(); }
    bool is_open() const override { return inner_->is_open(); }
    const net::Endpoint& peer() const override { return inner_->peer(); }
    const net::Endpoint& local() const override { return inner_->local(); }
    int native() const override { return inner_->native(); }
    Executor executor() const override { return inner_->executor(); }

private:
    net::Io told(const net::Io& io) { return io.state == net::Io::State::failed ? fail(inner_->failure()) : io; }

    std::unique_ptr<net::Stream> inner_;
    std::shared_ptr<Witness> witness_;
};

}  // namespace posthorn::send
