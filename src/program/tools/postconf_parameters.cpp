#include "tools/postconf_parameters.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "catalogue/catalogue.hpp"
#include "config/deprecated.hpp"
#include "config/expand.hpp"
#include "config/known.hpp"
#include "config/list.hpp"
#include "tools/postconf_options.hpp"

namespace posthorn::tools {

namespace {

using config::Snapshot;

struct Family {
    std::string_view suffix, initial;
};
/// What a delivery service gets by its name.                                  postconf(5), "transport_..."
constexpr Family families[] = {
    {"_delivery_slot_cost", "$default_delivery_slot_cost"},
    {"_delivery_slot_discount", "$default_delivery_slot_discount"},
    {"_delivery_slot_loan", "$default_delivery_slot_loan"},
    {"_destination_concurrency_failed_cohort_limit", "$default_destination_concurrency_failed_cohort_limit"},
    {"_destination_concurrency_limit", "$default_destination_concurrency_limit"},
    {"_destination_concurrency_negative_feedback", "$default_destination_concurrency_negative_feedback"},
    {"_destination_concurrency_positive_feedback", "$default_destination_concurrency_positive_feedback"},
    {"_destination_rate_delay", "$default_destination_rate_delay"},
    {"_destination_recipient_limit", "$default_destination_recipient_limit"},
    {"_extra_recipient_limit", "$default_extra_recipient_limit"},
    {"_initial_destination_concurrency", "$initial_destination_concurrency"},
    {"_minimum_delivery_slots", "$default_minimum_delivery_slots"},
    {"_recipient_limit", "$default_recipient_limit"},
    {"_recipient_refill_delay", "$default_recipient_refill_delay"},
    {"_recipient_refill_limit", "$default_recipient_refill_limit"},
    {"_transport_rate_delay", "$default_transport_rate_delay"},
};
constexpr std::string_view delivery_programs[] = {"smtp", "lmtp", "local", "virtual", "pipe", "error"};
constexpr std::string_view stock_transports[] = {"error", "lmtp", "local", "relay", "retry", "smtp", "virtual"};

/// Postfix's table lists the stock services' own names; they exist only while master.cf has the service.
bool is_service_name(std::string_view name)
{
    for (const auto transport : stock_transports)
        if (name.starts_with(transport))
            for (const auto& family : families)
                if (name.substr(transport.size()) == family.suffix)
                    return true;
    return false;
}

/// The settings a database's name may be extended by, where it is configured in main.cf.      ldap_table(5) and its like
struct Database {
    std::string_view type;
    std::vector<std::string_view> settings;
};
const std::vector<Database>& databases()
{
    static const std::vector<std::string_view> sql{"hosts", "user", "password", "dbname", "query", "domain", "result_format", "expansion_limit"};
    static const auto with = [](std::initializer_list<std::string_view> more) {
        auto all = sql;
        all.insert(all.end(), more);
        return all;
    };
    static const std::vector<Database> list{
        {"ldap",
         {"server_host",
          "server_port",
          "timeout",
          "search_base",
          "query_filter",
          "result_format",
          "domain",
          "result_attribute",
          "special_result_attribute",
          "leaf_result_attribute",
          "terminal_result_attribute",
          "scope",
          "bind",
          "bind_dn",
          "bind_pw",
          "recursion_limit",
          "expansion_limit",
          "size_limit",
          "dereference",
          "chase_referrals",
          "version",
          "debuglevel",
          "start_tls",
          "tls_ca_cert_dir",
          "tls_ca_cert_file",
          "tls_cert",
          "tls_key",
          "tls_require_cert",
          "tls_random_file",
          "tls_cipher_suite",
          "sasl_mechs",
          "sasl_realm",
          "sasl_authz_id",
          "sasl_minssf",
          "cache",
          "cache_expiry",
          "cache_size",
          "result_filter"}},
        {"mysql", with({"table", "select_field", "where_field", "additional_conditions", "result_format", "option_file", "option_group",
                        "tls_cert_file", "tls_key_file", "tls_CAfile", "tls_CApath", "tls_ciphers", "tls_verify_cert", "require_result_set",
                        "idle_interval", "retry_interval", "charset"})},
        {"pgsql",
         with({"table", "select_field", "where_field", "additional_conditions", "select_function", "encoding", "idle_interval", "retry_interval"})},
        {"sqlite",
         {"dbpath", "query", "domain", "result_format", "expansion_limit", "table", "select_field", "where_field", "additional_conditions"}},
        {"memcache",
         {"memcache", "backup", "flags", "ttl", "key_format", "domain", "data_size_limit", "line_size_limit", "max_try", "retry_pause", "timeout"}},
    };
    return list;
}

bool is_raw(const std::string& name)
{
    const auto* parameter = config::known(name);
    return parameter && parameter->kind == config::KnownKind::raw;
}

std::string name_of(std::string_view override_) { return std::string{trim(override_.substr(0, override_.find('=')))}; }
std::string value_of(std::string_view override_) { return std::string{trim(override_.substr(override_.find('=') + 1))}; }

std::string or_fail(Result<std::string> result)
{
    if (!result)
        throw ExpressionFailure(result.error().what());
    return std::move(*result);
}

}  // namespace

Parameters::Parameters(Snapshot defaults, std::optional<Snapshot> written, std::vector<config::MasterEntry> services)
    : defaults_(std::move(defaults)), written_(std::move(written)), services_(std::move(services)), local_(services_.size())
{
    for (const auto& parameter : config::known_parameters())
        if (!is_service_name(parameter.name))
            builtin_.emplace(parameter.name);
    for (const auto list : catalogue::all_parameters())
        for (const auto& info : list)
            if (!info.is_family() && !is_service_name(info.name))
                builtin_.emplace(info.name);
    for (const auto& service : services_) {
        const auto& program = service.command[0];
        const auto add = [&](std::string_view suffix, std::string_view initial) {
            const auto name = service.columns[0] + std::string{suffix};
            if (builtin_.contains(name))
                return;
            const auto* own = config::known(name);
            service_.emplace(name, own ? own->initial : initial);
        };
        if (std::ranges::find(delivery_programs, program) != std::end(delivery_programs))
            for (const auto& family : families)
                add(family.suffix, family.initial);
        if (program == "pipe" || program == "spawn")
            add("_time_limit", "$command_time_limit");
    }
    // Two exist without the service, too: they have defaults of their own.
    for (const std::string name : {"local_destination_concurrency_limit", "local_destination_recipient_limit"})
        if (!service_.contains(name))
            builtin_.insert(name);
    if (written_)
        find_user_parameters(*written_);
}

bool Parameters::is_defined(const std::string& name) const { return builtin_.contains(name) || service_.contains(name); }

void Parameters::find_user_parameters(const Snapshot& written)
{
    std::set<std::string> old_names;              // that only a default refers to: who names them in main.cf does what the default did
    const auto refer_main = [&](std::string_view reference) {
        const std::string name{reference};
        if (is_defined(name))
            return;
        bool somewhere = false;                   // main.cf may refer to what only a service's -o defines ($mua_client_restrictions)
        for (std::size_t i = 0; i < services_.size(); ++i) {
            for (const auto at : services_[i].overrides()) {
                if (name_of(services_[i].command[at]) == name) {
                    local_[i].insert(name);
                    somewhere = true;
                }
            }
        }
        if (written.definition(name))
            user_.insert(name);
        else if (!somewhere && !old_names.contains(name))
            undefined_main_.insert(name);
    };
    const auto database_settings = [&](std::string_view value, auto&& valid) {
        for (const auto member : split(value, ", \t\r\n{}")) {
            auto text = member;
            for (const std::string_view in_front : {"proxy:", "maybe:"})
                if (text.starts_with(in_front))
                    text.remove_prefix(in_front.size());
            const auto colon = text.find(':');
            if (colon == text.npos || colon + 1 >= text.size() || text[colon + 1] == '/' || text[colon + 1] == '.')
                continue;
            for (const auto& database : databases())
                if (database.type == text.substr(0, colon))
                    for (const auto setting : database.settings)
                        valid(fmt::format("{}_{}", text.substr(colon + 1), setting));
        }
    };
    // Names of old that only a default refers to ($fallback_relay).
    for (const auto& name : builtin_)
        config::names_in(written.default_of(name).value_or(""), [&](std::string_view reference) {
            if (const std::string text{reference}; !is_defined(text)) {
                old_names.insert(text);
                if (written.definition(text))
                    user_.insert(text);
            }
        });
    for (const auto& [name, definition] : written.written()) {
        if (!is_raw(std::string{name}))
            config::names_in(definition->value, refer_main);
        database_settings(definition->value, [&](const std::string& setting) {
            if (written.definition(setting) && !is_defined(setting))
                user_.insert(setting);
        });
        if (name == "smtpd_restriction_classes")
            for (const auto class_ : split(definition->value, ", \t\r\n"))
                if (!class_.contains('$'))
                    refer_main(class_);
    }
    for (std::size_t i = 0; i < services_.size(); ++i) {
        const auto& service = services_[i];
        std::set<std::string> own;
        for (const auto at : service.overrides())
            own.insert(name_of(service.command[at]));
        const auto refer = [&](std::string_view reference) {
            const std::string name{reference};
            if (is_defined(name))
                return;
            if (own.contains(name))
                local_[i].insert(name);
            else if (written.definition(name))
                user_.insert(name);
            else
                undefined_master_.insert(name);
        };
        for (const auto at : service.overrides()) {
            const auto value = value_of(service.command[at]);
            config::names_in(value, refer);
            if (name_of(service.command[at]) == "smtpd_restriction_classes")
                for (const auto class_ : split(value, ", \t\r\n"))
                    refer(class_);
            database_settings(value, [&](const std::string& setting) {
                if (own.contains(setting))
                    local_[i].insert(setting);
                else if (written.definition(setting) && !is_defined(setting))
                    user_.insert(setting);
            });
        }
    }
}

std::vector<std::string> Parameters::names(std::string_view classes) const
{
    std::set<std::string> all;
    if (classes.contains('b'))
        all.insert(builtin_.begin(), builtin_.end());
    if (classes.contains('s'))
        for (const auto& [name, initial] : service_)
            all.insert(name);
    if (classes.contains('u'))
        all.insert(user_.begin(), user_.end());
    return {all.begin(), all.end()};
}

bool Parameters::exists(const std::string& name, std::string_view classes) const
{
    return (classes.contains('b') && builtin_.contains(name)) || (classes.contains('s') && service_.contains(name)) ||
           (classes.contains('u') && user_.contains(name));
}

std::optional<std::string> Parameters::default_of(const std::string& name) const
{
    if (const auto service = service_.find(name); service != service_.end())
        return service->second;
    return (written_ ? *written_ : defaults_).default_of(name);
}

std::optional<std::string> Parameters::written(const std::string& name) const
{
    const auto* definition = written_ ? written_->definition(name) : nullptr;
    return definition ? std::optional{definition->value} : std::nullopt;
}

std::string Parameters::expanded(const std::string& name, const std::string& value) const
{
    if (is_raw(name))
        return value;
    const auto& snapshot = written_ ? *written_ : defaults_;
    return or_fail(config::expand(value, [&](std::string_view reference) -> std::optional<std::string_view> {
        if (const auto raw = snapshot.lookup(reference))
            return raw;
        const auto service = service_.find(std::string{reference});
        return service == service_.end() ? std::nullopt : std::optional<std::string_view>{service->second};
    }));
}

std::string Parameters::expanded(const config::MasterEntry& service, const std::string& value) const
{
    const auto& snapshot = written_ ? *written_ : defaults_;
    std::map<std::string, std::string, std::less<>> own{{"service_name", service.columns[0]}};
    for (const auto at : service.overrides())
        own.insert_or_assign(name_of(service.command[at]), value_of(service.command[at]));
    return or_fail(config::expand(value, [&](std::string_view reference) -> std::optional<std::string_view> {
        if (const auto found = own.find(reference); found != own.end())
            return found->second;
        return snapshot.lookup(reference);
    }));
}

namespace {
constexpr std::string_view more_about_deprecation = "See https://www.postfix.org/DEPRECATION_README.html for details";

void warn_deprecated(std::string_view path, std::string_view name, std::vector<std::string>& warnings)
{
    if (const auto advice = config::advice_instead_of(name); !advice.empty())
        warnings.push_back(fmt::format("{}: support for parameter \"{}\" will be removed; instead, {}", path, name, advice));
}
}  // namespace

void Parameters::warn_unused(std::string_view main_path, std::string_view master_path, bool main, bool quiet,
                             std::vector<std::string>& warnings) const
{
    for (const auto& name : undefined_main_)
        warnings.push_back(fmt::format("{}: undefined parameter: {}", main_path, name));
    if (main && written_) {
        for (const auto& [name, definition] : written_->written())
            if (const std::string text{name}; !is_defined(text) && !user_.contains(text))
                warnings.push_back(fmt::format("{}: unused parameter: {}={}", main_path, name, definition->value));
            else if (!quiet)
                warn_deprecated(main_path, name, warnings);
    }
    for (const auto& name : undefined_master_)
        warnings.push_back(fmt::format("{}: undefined parameter: {}", master_path, name));
    for (std::size_t i = 0; i < services_.size(); ++i) {
        for (const auto at : services_[i].overrides()) {
            const auto& text = services_[i].command[at];
            const auto name = name_of(text);
            if (!is_defined(name) && !user_.contains(name) && !local_[i].contains(name))
                warnings.push_back(fmt::format("{}: unused parameter: {}={}", master_path, name, value_of(text)));
            else if (!quiet)
                warn_deprecated(master_path, name, warnings);
        }
    }
    if (std::ranges::any_of(warnings, [](const std::string& warning) { return warning.contains("will be removed; instead, "); }))
        warnings.emplace_back(more_about_deprecation);
}

}  // namespace posthorn::tools
