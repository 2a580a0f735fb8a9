#include "kumomta/translate.hpp"

#include "base/strings.hpp"
#include "kumomta/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace posthorn::kumomta {

void PolicyTranslator::judge(const Place& place, std::string where, std::string statement, Kind kind, std::string text, bool loud)
{
    if (!judged_.insert(fmt::format("{}|{}|{}", place.text(), where, statement)).second)
        return;
    out_.verdicts.push_back(
        {.place = place, .where = std::move(where), .statement = std::move(statement), .kind = kind, .text = std::move(text), .loud = loud});
}

void PolicyTranslator::judge(const Block& block, std::string_view name, Kind kind, std::string text, bool loud)
{
    const Value* const value = block.table.find(name);
    if (!value)
        return;
    const std::string key = fmt::format("{}|{}|={}", value->place.text(), block.where, name);
    if (!judged_.insert(key).second)
        return;
    const bool hidden = name.find("password") != name.npos;
    judge(value->place, block.where, fmt::format("{} = {}", printable(name, true), hidden ? "(hidden)" : value->shown()), kind, std::move(text),
          loud);
}

void PolicyTranslator::rest(const Block& block, std::span<const OptionFact> facts, std::initializer_list<std::string_view> inner)
{
    for (const Entry& entry : block.table.entries) {
        if (std::ranges::find(inner, std::string_view(entry.name)) != inner.end())
            continue;
        const auto fact = std::ranges::find(facts, std::string_view(entry.name), &OptionFact::name);
        if (fact != facts.end())
            judge(block, entry.name, fact->kind, std::string(fact->text));
        else
            judge(block, entry.name, Kind::left_out, "nothing here is known to do the same");
    }
}

void PolicyTranslator::set(std::string name, std::string value, const Place& place, std::string_view because)
{
    std::ranges::replace(value, '\n', ' ');
    auto found = std::ranges::find(out_.settings, name, &Setting::name);
    if (found == out_.settings.end())
        found = out_.settings.insert(found, {std::move(name), {}, {}});
    found->value = std::move(value);
    if (!because.empty())
        found->because = {place.file.empty() ? std::string(because) : fmt::format("{}: {}", place.text(), printable(because, true))};
}

bool PolicyTranslator::becomes_setting(const Block& block, std::string_view option, const std::string& parameter)
{
    const Value* const value = block.table.find(option);
    if (!value)
        return false;
    const auto word = value->word();
    if (!word || word->find('$') != word->npos) {
        judge(block, option, Kind::left_out, fmt::format("no value for {}", parameter));
        return false;
    }
    set(parameter, *word, value->place, fmt::format("{} = {}", option, value->shown()));
    judge(block, option, Kind::becomes, fmt::format("{} = {}", parameter, *word));
    return true;
}

bool PolicyTranslator::becomes_time(const Block& block, std::string_view option, const std::string& parameter)
{
    const Value* const value = block.table.find(option);
    if (!value)
        return false;
    const auto seconds = seconds_of(*value);
    if (!seconds || *seconds == 0) {
        judge(block, option, Kind::left_out, fmt::format("no time for {}", parameter));
        return false;
    }
    set(parameter, time_text(*seconds), value->place, fmt::format("{} = {}", option, value->shown()));
    judge(block, option, Kind::becomes, fmt::format("{} = {}", parameter, time_text(*seconds)));
    return true;
}

std::string PolicyTranslator::add_table(std::string name, std::string type, std::string content)
{
    const std::string text =
        fmt::format("# Made by posthorn migrate of {}; changes go here from now on.\n{}", printable(policy_.path, true), content);
    out_.tables.push_back({.name = std::move(name), .type = std::move(type), .content = text});
    return out_.tables.back().spec();
}

void PolicyTranslator::add_service(const std::string& text, const Place& place, std::string_view because)
{
    out_.services.push_back({text, {fmt::format("{}: {}", place.text(), printable(because, true))}});
}

Translation PolicyTranslator::translate()
{
    const Place none;
    for (const std::string_view stock :
         {"smtp",    "relay",  "local", "virtual", "lmtp",   "error", "retry",    "discard",    "pickup", "cleanup", "qmgr",   "tlsmgr",
          "rewrite", "bounce", "defer", "trace",   "verify", "flush", "proxymap", "proxywrite", "showq",  "anvil",   "scache", "postlog"})
        services_.insert(std::string(stock));
    set("compatibility_level", "3.6", none, "");
    set("mydestination", "", none, "KumoMTA delivers to nobody on its own machine");
    set("local_recipient_maps", "", none, "");
    set("alias_maps", "", none, "");
    set("alias_database", "", none, "");
    calls();
    if (const Setting* const size = out_.find("message_size_limit"); size && services_.contains("admin"))
        set("inject_body_size_limit", std::to_string(parse_number(size->value).value_or(0) / 3 * 4 + 65536), none,
            "a message of message_size_limit in base64");
    if (!smtp_listens_)
        set("mynetworks", "127.0.0.0/8, [::1]/128", none, "");
    set("smtpd_relay_restrictions", "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination", none,
        "relay_hosts, and domains with relay_to");
    domains();
    senders();
    queues();
    shaping();
    signing();
    for (const auto& [service, options] : options_) {
        std::string text = fmt::format("{:<9} unix  -       -       n       -       -       smtp\n", service);
        for (const std::string& option : options)
            text += fmt::format("    -o {}\n", option);
        add_service(text, places_[service], "source " + service);
    }
    handlers();
    judge({policy_.path, 0}, "policy", "reports to senders", Kind::left_out,
          "KumoMTA writes them only where a policy does; here the sender of mail that fails gets one, and record_file has it as well");
    for (const std::string& path : policy_.missing)
        judge({path, 0}, "file", printable(path, true), Kind::left_out,
              "it is not on this machine, or cannot be read: what stands in it is not carried over");
    std::ranges::sort(out_.verdicts, {},
                      [](const Verdict& verdict) { return std::tie(verdict.place.file, verdict.place.line, verdict.where, verdict.statement); });
    return std::move(out_);
}

Translation translate(const Policy& policy, const Machine& machine) { return PolicyTranslator(policy, machine).translate(); }

}  // namespace posthorn::kumomta
