// cleanup/testing.hpp: a cleaner over tables in memory, for the tests of this room.
#pragma once

#include "async/run.hpp"
#include "cleanup/cleaner.hpp"
#include "tables/testing.hpp"

#include <fmt/format.h>

namespace posthorn::cleanup::testing {

inline Options options()
{
    Options made;
    made.own.mydestination = "here.test";
    made.own.myorigin = "here.test";
    made.own.addresses = {"192.0.2.1"};
    made.own.delimiter.characters = "+";
    made.hostname = "mx.here.test";
    made.drop_headers = {"bcc", "content-length", "resent-bcc", "return-path"};
    made.local = {"here.test", "net.test", true, true, true, true};
    made.remote = made.local;
    made.remote.origin = made.remote.domain = "";
    made.mynetworks = "10.0.0.0/8";
    return made;
}

inline handoff::Envelope envelope(std::vector<std::string> recipients = {"r@else.test"}, std::string client = "")
{
    handoff::Envelope made;
    made.set_queue_id("4bXYZ1zQ");
    made.set_arrival(1'795'226'084'004'321);
    made.set_sender("s@x.test");
    made.mutable_client()->set_address(std::move(client));
    for (auto& recipient : recipients) {
        auto* added = made.add_recipients();
        added->set_address(std::move(recipient));
        added->set_index(static_cast<std::uint32_t>(made.recipients_size()) - 1);
    }
    return made;
}

struct Got {
    std::string refused, head, recipients, body;
    bool discard = false, body_seen = false;
    handoff::Envelope envelope;
    std::vector<std::string> log;
};

/// `body` goes in as pieces of `step` octets.
inline awaitable<void> clean_into(Cleaner* cleaner, handoff::Envelope e, std::string head, std::string body, std::size_t step, Got* got)
{
    const auto refuse = [&](const handoff::Refusal& refusal) { got->refused = fmt::format("{} {} {}", refusal.code, refusal.status, refusal.text); };
    auto result = co_await cleaner->clean(std::move(e), std::move(head));
    if (!result) {
        refuse(result.error());
        co_return;
    }
    got->head = result->head;
    got->envelope = result->envelope;
    got->discard = result->discard;
    got->body_seen = result->body != nullptr;
    if (!result->body) {
        got->body = body;
    } else {
        for (std::size_t at = 0; at <= body.size(); at += step) {
            const bool last = at + step > body.size();
            auto changed = co_await result->body->clean(body.substr(at, step), last);
            if (!changed) {
                refuse(changed.error());
                co_return;
            }
            got->body += *changed;
        }
        got->discard |= result->body->discards();
        auto concluded = co_await result->body->conclude(got->envelope);
        if (!concluded) {
            refuse(concluded.error());
            co_return;
        }
        got->envelope = *concluded;
    }
    for (const auto& recipient : got->envelope.recipients())
        got->recipients += fmt::format("{}{}{} ", recipient.address(), recipient.original().empty() ? "" : "<-", recipient.original());
}

inline Got clean(const Options& made, handoff::Envelope e, std::string head, std::string body = {}, std::size_t step = 1 << 20)
{
    tables::TestSite site;
    Cleaner cleaner(made, site.tables, observe::Log{site.sink, "postfix/cleanup"});
    asio::io_context loop;
    Got got;
    asio::co_spawn(loop, clean_into(&cleaner, std::move(e), std::move(head), std::move(body), step, &got), [](std::exception_ptr failed) {
        if (failed)
            std::rethrow_exception(failed);
    });
    loop.run();
    got.log = site.sink->lines;
    return got;
}

inline bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace posthorn::cleanup::testing
