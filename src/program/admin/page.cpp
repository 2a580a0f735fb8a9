#include "admin/page.hpp"

#include "accounts/book.hpp"
#include "admin/metrics.hpp"
#include "base/strings.hpp"
#include "handoff/counting.hpp"
#include "http/target.hpp"
#include "inquiry/account_listing.hpp"
#include "inquiry/forecast.hpp"
#include "inquiry/helper_listing.hpp"
#include "inquiry/orders.hpp"
#include "inquiry/peer_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "inquiry/why_text.hpp"
#include "peers/learn.hpp"
#include "services/counters.hpp"
#include "services/queue_tally.hpp"
#include "smtp/path.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace posthorn::admin {

namespace {

constexpr std::uint32_t rows_shown = 30, messages_shown = 50;
constexpr std::size_t peers_shown = 50, helpers_shown = 12;
constexpr int refresh_seconds = 15;

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --line: #8884; --soft: #888; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5em auto; max-width: 75em; padding: 0 1em; }
h1 { font-size: 1.3em; } h2 { font-size: 1.05em; margin: 1.8em 0 .4em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2em .6em .2em 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); } .n { text-align: right; white-space: nowrap; }
.soft { color: var(--soft); } .bad { color: var(--bad); } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
)";

/// "<tr><td>...</td></tr>"; what begins with '#' is a number, and what with '<' has been made here, of escaped text.
struct Cell {
    Cell(std::string plain) : html(html_text(plain)) {}
    Cell(const char* plain) : html(html_text(plain)) {}
    static Cell number(std::string plain)
    {
        Cell cell(std::move(plain));
        cell.kind = " class=\"n\"";
        return cell;
    }
    static Cell number(std::uint64_t value) { return number(std::to_string(value)); }
    static Cell link(std::string_view where, const std::string& to, const std::string& plain)
    {
        Cell cell("");
        cell.html = fmt::format("<a href=\"/{}/{}\">{}</a>", where, http::escaped(to), html_text(plain));
        return cell;
    }
    Cell&& bad(bool is) &&
    {
        if (is)
            kind = " class=\"bad\"";
        return std::move(*this);
    }
    std::string html;
    std::string_view kind;
};

class Table {
public:
    explicit Table(std::initializer_list<std::string_view> heads)
    {
        text_ = "<table><tr>";
        for (const std::string_view head : heads)
            text_ += fmt::format("<th{}>{}</th>", head.starts_with('#') ? " class=\"n\"" : "", html_text(head.substr(head.starts_with('#') ? 1 : 0)));
        text_ += "</tr>\n";
    }
    void row(const std::vector<Cell>& cells)
    {
        ++rows_;
        text_ += "<tr>";
        for (const Cell& cell : cells)
            text_ += fmt::format("<td{}>{}</td>", cell.kind, cell.html);
        text_ += "</tr>\n";
    }
    std::string html(std::string_view otherwise) const
    {
        return rows_ == 0 ? fmt::format("<p class=\"soft\">{}</p>\n", html_text(otherwise)) : text_ + "</table>\n";
    }

private:
    std::string text_;
    std::size_t rows_ = 0;
};

std::string heading(std::string_view text) { return fmt::format("<h2>{}</h2>\n", html_text(text)); }

std::string whole_page(System& system, std::string_view title, const std::string& body, bool refreshes)
{
    const std::string now = inquiry::utc_time(system.now().time_since_epoch().count());
    return fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>{1}"
        "<meta name=\"viewport\" content=\"width=device-width\"><style>{2}</style></head>\n<body><h1>{0}</h1>\n"
        "<p class=\"soft\">{3}{4} · <a href=\"/\">queue</a> · <a href=\"/metrics\">metrics</a> · <a href=\"/api\">api</a></p>\n{5}</body></html>\n",
        html_text(title), refreshes ? fmt::format("<meta http-equiv=\"refresh\" content=\"{}\">", refresh_seconds) : "", style, now,
        refreshes ? fmt::format(", renewed every {} s", refresh_seconds) : "", body);
}

std::string state_of(const handoff::SiteStanding& site)
{
    std::string text;
    const auto say = [&](const std::string& what) { text += (text.empty() ? "" : "; ") + what; };
    if (site.dead_until() != 0)
        say(fmt::format("left alone until {}: {}", inquiry::utc_time(site.dead_until()), site.reason()));
    if (site.silent_until() != 0)
        say(fmt::format("asked for silence until {}", inquiry::utc_time(site.silent_until())));
    if (site.ceiling() != 0)
        say(fmt::format("at most {} sessions", site.ceiling()));
    if (site.per_minute() > 0)
        say(fmt::format("at most {:.0f} mails a minute", site.per_minute()));
    if (!site.said().empty())
        say(site.said());
    return text;
}

std::string ages_table(const process::InstanceCounters& counters)
{
    using services::QueueTally;
    std::string text = "<table><tr><th></th><th class=\"n\">all</th>";
    for (const std::string_view age : QueueTally::age_names)
        text += fmt::format("<th class=\"n\">{}</th>", age);
    text += "</tr>\n";
    for (const std::string_view queue : QueueTally::place_names) {
        std::int64_t all = 0;
        std::string cells;
        for (const std::string_view age : QueueTally::age_names) {
            const std::int64_t value = sum_of(counters, handoff::counter_name(services::queue_messages, {{"queue", queue}, {"age", age}}));
            all += value;
            cells += fmt::format("<td class=\"n\">{}</td>", value);
        }
        text += fmt::format("<tr><td>{}</td><td class=\"n\">{}</td>{}</tr>\n", queue, all, cells);
    }
    return text + "</table>\n";
}

std::string throughput_table(const process::InstanceCounters& counters, const Rates& rates)
{
    static constexpr std::pair<std::string_view, const char*> shown[] = {{"smtpd_accepted", "accepted by SMTP"},
                                                                         {"qmgr_enqueued", "taken into the queue"},
                                                                         {"qmgr_delivered", "recipients delivered to"},
                                                                         {"qmgr_deferred", "attempts deferred"},
                                                                         {"qmgr_bounced", "recipients given up"}};
    Table table{"", "#a minute", "#since the start"};
    for (const auto& [name, says] : shown) {
        const auto rate = rates.per_minute(name);
        table.row({says, Cell::number(rate ? fmt::format("{:.1f}", *rate) : "-"), Cell::number(static_cast<std::uint64_t>(sum_of(counters, name)))});
    }
    return table.html("");
}

/// Those that took the most time, and those that somebody waits for.
std::string helpers_table(const process::InstanceCounters& counters)
{
    Table table{"helper", "#answers", "#failed", "#mean", "#longest lately", "waiting now"};
    std::size_t shown = 0;
    for (const inquiry::HelperStanding& helper : inquiry::helpers_of(counters)) {
        if (helper.open == 0 && ++shown > helpers_shown)
            continue;
        table.row({inquiry::helper_name(helper), Cell::number(helper.answers), Cell::number(helper.failed),
                   Cell::number(helper.answers == 0 ? "-" : inquiry::helper_time(helper.mean())),
                   Cell::number(helper.longest.count() == 0 ? "-" : inquiry::helper_time(helper.longest)),
                   Cell(inquiry::helper_open(helper)).bad(helper.oldest >= std::chrono::seconds{1})});
    }
    return table.html("Nobody has been asked yet.");
}

std::string sites_and_groups(const handoff::SitesReply& reply)
{
    Table groups{"destination", "reason", "#recipients", "site", "said last"};
    for (const handoff::DeferredGroup& group : reply.deferred())
        groups.row({group.rest() ? Cell("all further ones") : Cell::link("why", group.destination(), group.destination()), group.reason(),
                    Cell::number(group.recipients()), group.site(), group.text()});
    Table sites{"site", "#sessions", "#window", "#messages wait", "#recipients wait", "#leave a minute", "empties in", "held back"};
    for (const handoff::SiteStanding& site : reply.sites()) {
        const auto empty = inquiry::empties_in(site);
        sites.row({Cell::link("why", site.site(), site.site()), Cell::number(site.in_flight()), Cell::number(site.window()),
                   Cell::number(site.waiting_messages()), Cell::number(site.waiting_recipients()),
                   Cell::number(fmt::format("{:.1f}", site.left_per_minute())), empty ? inquiry::rough(*empty) : std::string(),
                   Cell(state_of(site)).bad(site.dead_until() != 0 || site.silent_until() != 0)});
    }
    return heading("Deferred, by destination and reason") + groups.html("Nothing is deferred.") + heading("Sites") +
           sites.html("Nothing is under way.");
}

std::string orders_table(const handoff::QueueReply& reply)
{
    Table table{"order", "destination", "sender", "since", "until", "by", "reason", "#messages wait", "#recipients returned"};
    for (const handoff::Order& order : reply.orders())
        table.row({std::string(inquiry::order_name(order)), Cell::link("why", order.destination(), order.destination()), order.sender(),
                   inquiry::utc_time(order.since()), order.until() == 0 ? std::string("it is ended") : inquiry::utc_time(order.until()), order.by(),
                   order.reason(), Cell::number(order.held_up()), Cell::number(order.returned())});
    return table.html("None is in force.");
}

/// Those about which there is something to say.
std::string accounts_table(const handoff::QueueReply& reply)
{
    Table table{"account", "#recipients, last hour", "#usual", "#last day", "state"};
    for (const handoff::Account& account : reply.accounts())
        if (const std::string state = inquiry::account_state(account); !state.empty())
            table.row({accounts::account_text(account.name()), Cell::number(account.hour().recipients()), Cell::number(account.usual_hour()),
                       Cell::number(account.day().recipients()), Cell(state).bad(account.alarm_cause() != 0)});
    return table.html(fmt::format("Nothing is strange about the {} that hand mail in.", reply.accounts_size()));
}

std::string messages_table(const handoff::QueueReply& reply)
{
    Table table{"message", "queue", "arrived", "#octets", "sender", "recipients", "next try", "why"};
    for (const handoff::QueueEntry& entry : reply.entries()) {
        const handoff::Envelope& envelope = entry.envelope();
        std::string recipients, reason;
        constexpr int shown = 3;
        for (int at = 0; at < std::min(envelope.recipients_size(), shown); ++at)
            recipients += (at == 0 ? "" : ", ") + smtp::external_address(envelope.recipients(at).address());
        if (envelope.recipients_size() > shown)
            recipients += fmt::format(" and {} more", envelope.recipients_size() - shown);
        for (const std::string& one : entry.reasons())
            if (reason.empty())
                reason = one;
        table.row({Cell::link("message", envelope.queue_id(), envelope.queue_id()), entry.queue_name(), inquiry::utc_time(envelope.arrival()),
                   Cell::number(envelope.size()), envelope.sender().empty() ? "MAILER-DAEMON" : smtp::external_address(envelope.sender()), recipients,
                   entry.next_try() == 0 ? std::string() : inquiry::utc_time(entry.next_try()), reason});
    }
    std::string html = table.html("The queue is empty.");
    if (reply.more())
        html += fmt::format("<p><a href=\"/?after={}\">more</a></p>\n", http::escaped(reply.text()));
    return html;
}

std::string quirks_table(System& system)
{
    const auto known = system.peers({});
    if (!known)
        return fmt::format("<p class=\"bad\">{}</p>\n", html_text(known.error().text()));
    Table table{"server", "greets as", "site", "quirks in force"};
    std::size_t shown = 0;
    for (const posthorn::peers::Record& record : known->records) {
        const auto said = posthorn::peers::known_of(record, system.now());
        if (said.quirks.empty() || shown++ >= peers_shown)
            continue;
        table.row({record.peer.address, record.peer.banner_host, record.peer.site, said.quirks.text()});
    }
    for (const inquiry::SetKnown& set : known->sets)
        table.row({set.name, "", "", std::string(trim(inquiry::set_line(set, system.now())))});
    return table.html("No server is known to break the rules.");
}

}  // namespace

std::string html_text(std::string_view text)
{
    std::string out;
    for (const char c : printable(text, true))
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#39;"; break;
        default: out += c;
        }
    return out;
}

std::string_view page_policy()
{
    static const std::string policy =
        fmt::format("default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                    base64_encode(tls::digest(tls::Digest::sha256, style)));
    return policy;
}

Answer overview_page(System& system, const process::InstanceCounters& counters, const Rates& rates, const std::string& after)
{
    handoff::QueueCommand list;
    list.set_verb(handoff::QueueCommand::LIST);
    list.set_offset(messages_shown);
    list.set_argument(after);
    std::string body = heading("Queue, by age") + ages_table(counters) + heading("Throughput") + throughput_table(counters, rates) +
                       heading("Asked while mail waits") + helpers_table(counters);
    const auto told = system.sites(rows_shown);
    const auto listed = system.queue(std::move(list));
    handoff::QueueCommand ask_orders;
    ask_orders.set_verb(handoff::QueueCommand::ORDERS);
    const auto orders = system.queue(std::move(ask_orders));
    const auto or_trouble = [](const auto& reply, auto show) {
        return reply ? show(*reply) : fmt::format("<p class=\"bad\">{}</p>\n", html_text(reply.error().text()));
    };
    const auto accounts = system.queue(inquiry::account_question({}));
    body += heading("Orders of operators") + or_trouble(orders, orders_table) + or_trouble(told, sites_and_groups);
    body += heading("Accounts") + or_trouble(accounts, accounts_table);
    body += heading("Messages") + or_trouble(listed, messages_table) + heading("Servers with quirks") + quirks_table(system);
    return {200, "", whole_page(system, "Posthorn on " + system.host(), body, after.empty())};
}

Answer why_page(System& system, const std::string& word)
{
    const inquiry::WhyAsked asked = system.why(word);
    const bool known = asked.why.known();
    const std::string text = known ? inquiry::why_text(asked.why, system.now()) : "Nothing is known of it.\n";
    std::string body = "<pre>";
    for (const std::string_view line : split_exact(text, '\n'))
        body += html_text(line) + "\n";
    body += "</pre>\n";
    return {known ? 200U : asked.down ? 503U : 404U, "", whole_page(system, word, body, known)};
}

}  // namespace posthorn::admin
