// What tables make of the client's lines and of our refusals.
#include "base/strings.hpp"
#include "receive/reject_text.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

/// smtpd_command_filter; false where it cannot be asked: that is said, and the session is over.
awaitable<bool> Session::filter_command(std::string* line)
{
    const std::string asked(std::string_view(*line).substr(std::min(line->find_first_not_of(" \t"), line->size())));
    const auto shown = [](std::string_view text) {                   // a password is nobody's business
        return iequals(smtp::split_command(text).word, "AUTH") ? std::string("AUTH (arguments are not logged)") : printable(text.substr(0, 100));
    };
    // Asked table by table: an empty line, too, may stand for something.
    Result<std::optional<std::string>> found = std::optional<std::string>();
    for (const auto& table : core_.command_filter.tables()) {
        found = co_await table->lookup(asked);
        if (!found) {
            core_.outside.log.warning("{} is unavailable. {}", table->name(), found.error().text());
            core_.outside.log.warning("{} lookup error for \"{}\"", table->name(), shown(asked));
            const std::string reply = fmt::format("421 4.3.0 {} Server local data error", core_.options.myhostname);
            const bool known = transaction_ && !transaction_->queue_id.empty();
            core_.outside.log.info("{}: reject: {} from {}: {}", known ? transaction_->queue_id : "NOQUEUE", where_, namaddr(), reply);
            refused_by("smtpd_command_filter", reply);
            say(reply);
            co_return false;
        }
        if (*found)
            break;
    }
    if (const std::optional<std::string>& replaced = *found) {
        core_.outside.log.info("{}: replacing command \"{}\" with \"{}\"", namaddr(), shown(*line), shown(*replaced));
        *line = *replaced;
    }
    co_return true;
}

awaitable<std::optional<std::string>> Session::about_reply(const tables::Maps* maps, std::string reply)
{
    auto found = co_await maps->lookup(reply);
    if (!found)
        core_.outside.log.warning("{}: {} lookup error for \"{}\"", namaddr(), maps->parameter(), printable(std::string_view(reply).substr(0, 100)));
    co_return found ? *std::move(found) : std::nullopt;
}

/// smtpd_reject_filter_maps, smtpd_reject_footer_maps, smtpd_reject_footer. A table that cannot be asked leaves the reply as it was decided.
awaitable<void> Session::edit_rejects()
{
    const auto rejects = std::exchange(rejects_, {});
    const std::string replies = std::exchange(out_, {});
    std::string made;
    std::size_t done = 0;
    for (const auto& [at, length] : rejects) {
        made += std::string_view(replies).substr(done, at - done);
        done = at + length;
        std::string reply = replies.substr(at, length);
        if (!core_.reject_filter.empty())
            if (const auto found = co_await about_reply(&core_.reject_filter, reply)) {
                auto other = filtered_reply(*found);
                if (other)
                    reply = *std::move(other);
                else
                    core_.outside.log.warning("{}: {}: {}", namaddr(), core_.reject_filter.parameter(), other.error().text());
            }
        std::optional<std::string> footer;
        if (!core_.reject_footers.empty())
            footer = co_await about_reply(&core_.reject_footers, reply);
        auto with = with_footer(reply, footer ? *footer : core_.options.reject_footer,
                                {.client_address = facts_.client_address,
                                 .server_name = core_.options.myhostname,
                                 .client_port = client_port_,
                                 .now = core_.outside.clock.wall(),
                                 .filter = core_.options.policy.expansion_filter});
        if (!with)
            core_.outside.log.warning("{}: {}: {}", namaddr(), footer ? core_.reject_footers.parameter() : "smtpd_reject_footer",
                                      with.error().text());
        made += with ? *with : reply;
        long_reply_ = true;                         // a table may say anything
    }
    made += std::string_view(replies).substr(done);
    made += out_;                                   // nothing is said meanwhile; were it, it would come last
    out_ = std::move(made);
}

}  // namespace posthorn::receive
