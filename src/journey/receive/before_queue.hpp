// receive/before_queue.hpp: the dialogue with a filter before the queue (smtpd_proxy_filter): one message, one connection.
//                                                                                  SMTPD_PROXY_README, XFORWARD_README, RFC 2920
// Turns    greeting, EHLO, then all that is known of the message in one write where the filter offers PIPELINING, else a command at a time.
// Answers  texts of replies as the client is to hear them, without the last line end. What went wrong between us and the filter is nobody
//          else's business: `trouble`, and the log has the reason. An answer that is there before its question counts only
//          where it refuses.
// Ends     with QUIT, whose answer nobody waits for; amid content by closing, after which the filter may not count it as whole (RFC 5321 4.1.1.4).
// Content  goes out as it is stored here, with dots stuffed. It is an IncomingFolder too: a block that Content would write to a file is sent.
#pragma once

#include "receive/options.hpp"
#include "receive/outside.hpp"
#include "smtp/data.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"
#include "smtp/xforward.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::receive {

class BeforeQueue final : public IncomingFolder {
public:
    static constexpr std::string_view trouble = "451 4.3.0 Error: queue file write error";

    /// `mail` is the MAIL command without REQUIRETLS, which it is to have where the filter offers it. `warn` is told what went wrong, in Postfix's words.
    BeforeQueue(Executor executor, const FilterOptions& options, Names& names, smtp::Origin origin, std::string mail, bool requiretls,
                std::function<void(std::string)> warn);
    BeforeQueue(BeforeQueue&&) = delete;
    ~BeforeQueue() override;

    struct Answers {
        /// The filter does not take the message at all: what to say to whatever was asked. The dialogue is over.
        std::optional<std::string> refused;
        std::vector<std::string> recipients;  // one reply each
        std::optional<std::string> data;  // where DATA was asked: empty text for 354, else the refusal
    };
    /// The first call opens the dialogue. A filter without PIPELINING that refused every recipient (`all_or_nothing`: one) is asked for no more.
    awaitable<Answers> ask(std::vector<std::string> recipients, bool data, bool all_or_nothing = false);
    bool lost() const { return lost_; }
    /// Octets of the content. A failure is logged and remembered.
    awaitable<Result<void>> content(std::string_view octets);
    /// The last octets and the final dot: the filter's word on the message.
    awaitable<std::string> end(std::string_view octets);

    // IncomingFolder: its files are this dialogue
    awaitable<Result<std::unique_ptr<IncomingFile>>> create(std::string queue_id) override;
    std::uint64_t free_octets() override { return UINT64_MAX; }

private:
    struct Asked {
        Asked(std::string line, int digit) : command(std::move(line)), wanted(digit) {}
        std::string command;
        int wanted;  // first digit of the reply that is as it should be
    };
    awaitable<bool> open();
    awaitable<std::optional<smtp::Reply>> reply();
    awaitable<std::optional<smtp::Reply>> hear();
    awaitable<bool> write(std::string_view octets);
    /// Commands.
    awaitable<bool> put(std::string_view octets);
    /// Is there an answer already, before the question?
    bool ahead();
    /// The text for the client; empty: as it should be.
    std::string judged(const Asked& asked, const std::optional<smtp::Reply>& reply);
    void lose(const Error& error);

    Executor executor_;
    const FilterOptions& options_;
    Names& names_;
    smtp::Origin origin_;
    std::string mail_;
    bool requiretls_;
    std::function<void(std::string)> warn_;
    std::unique_ptr<net::Stream> stream_;
    smtp::ReplyParser parser_;
    std::string read_;  // octets behind the last reply
    smtp::Features features_;
    smtp::DataWriter writer_;
    bool opened_ = false, lost_ = false, in_content_ = false;
    bool ahead_ = false;  // the next reply is one that was there before the question
    bool any_recipient_ = false;  // accepted, in this group or one before
};

/// A reply as it is said and logged: lines with their code, CRLF between them.
std::string text_of(const smtp::Reply& reply);

}  // namespace posthorn::receive
