// inject/desk.hpp: a request to inject mail becomes sessions of our own SMTP server, and what those said the answer.
// Sessions a request has up to sessions_at_once of them side by side, each with several mails on their way, so that mails share commits. All requests
//          together have no more than the server has places for transactions; who finds none waits for one.
// Mails    one for each recipient; one for up to group_limit of them where all get the same octets.
// Answers  200 where the request was right, with a reply for each recipient that was refused. Of a request that is wrong nothing was injected.
// Memory   the request, the attachments and the mails on their way are counted against smtpd_memory_limit.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "http/server.hpp"
#include "inject/compose.hpp"
#include "inject/dialogue.hpp"
#include "observe/counters.hpp"
#include "observe/log.hpp"
#include "receive/server.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inject {

using http::Answer;

inline constexpr http::AccessWords access_words{"inject_clients", "inject_hosts", "inject_token_file", "nobody has the token"};

class Desk final : public http::Desk {
public:
    /// `token_needed`: who shows no login shows the token. The sessions outlive the desk.
    Desk(Executor executor, receive::Server& sessions, bool token_needed, observe::Log log);
    Desk(Desk&&) = delete;
    ~Desk() override;

    /// Whose token it is; before the first request.
    void know(const http::Access& access) { access_ = &access; }
    std::optional<Answer> refusal(const http::Request& request, const net::Stream& stream) override;
    awaitable<Answer> answer(http::Request request, const net::Stream& stream, http::Weight* weight) override;
    std::unique_ptr<http::Weight> weigh() override;
    /// Requests that come now are told to come again.
    void close() { closing_ = true; }
    /// The last session has ended.
    awaitable<void> drained() { return running_.drained(); }

    /// Recipients by result.
    const observe::Tally<1>& recipients() const { return recipients_; }

    static constexpr std::size_t sessions_at_once = 4, mails_at_once = 16, group_limit = 100, octets_at_once = 1 << 20;

private:
    struct Run;
    struct Place;
    struct Item;

    Answer refused(const http::Request& request, const net::Stream& stream, Answer answer) const;
    awaitable<Answer> inject(Request& request, const Composer& composer, std::optional<Login> login, const net::Stream& stream);
    awaitable<std::unique_ptr<Place>> place();
    awaitable<void> work(Run& run, std::unique_ptr<Place> place, std::unique_ptr<Dialogue> dialogue);
    awaitable<std::unique_ptr<Dialogue>> open(Run& run);
    static void settle(Run& run, std::vector<Item>& items, std::vector<Mail>& mails, const std::optional<smtp::Reply>& closed);
    std::vector<Item> take(Run& run, receive::Ceiling::Share& share);
    std::optional<Item> next_item(Run& run);
    Answer conclude(const Run& run);
    RenderLimits limits() const;

    Executor executor_;
    receive::Server& sessions_;
    const bool token_needed_;
    observe::Log log_;
    const http::Access* access_ = nullptr;
    std::size_t places_ = 0;
    Signal place_free_;
    bool closing_ = false;
    TaskGroup running_;  // sessions, the server's side
    observe::Tally<1> recipients_{10};
};

}  // namespace posthorn::inject
