#include "config/snapshot.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "config/expand.hpp"
#include "config/idna.hpp"
#include "config/known.hpp"
#include "config/reading.hpp"

namespace posthorn::config {

namespace {

struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <class V>
using ByName = std::unordered_map<std::string, V, TextHash, std::equal_to<>>;

}  // namespace

struct Snapshot::Data {
    Site site;                                    // travels along: overrides may change what is computed from it
    std::string config_directory;
    ByName<Definition> written;
    ByName<std::string> defaults;                 // our own parameters' and the computed ones: what known() does not have
    std::vector<std::string> warnings;

    std::optional<std::string_view> lookup(std::string_view name) const;
    void compute_defaults();
};

namespace {
thread_local Reading* reading = nullptr;          // the innermost scope of this thread
}

Reading::Reading() : outer_(std::exchange(reading, this)) {}

Reading::~Reading() { reading = outer_; }

void Reading::note(std::string_view name)
{
    if (reading && !reading->names_.contains(name))
        reading->names_.emplace(name);
}

std::string Definition::place() const { return line > 0 ? fmt::format("{}, line {}", origin, line) : origin; }

namespace {

constexpr std::array computed{"myhostname", "mydomain", "mynetworks", "config_directory", "process_name", "process_id"};

}  // namespace

Snapshot::Snapshot(Site site, std::string config_directory, ParamLists own) : Snapshot(std::move(site), std::move(config_directory), MainCf{}, own) {}

Snapshot::Snapshot(Site site, std::string config_directory, const MainCf& main_cf, ParamLists own)
{
    auto data = std::make_shared<Data>();
    data->site = std::move(site);
    data->config_directory = std::move(config_directory);
    data->warnings = main_cf.warnings;
    for (const auto& assignment : main_cf.assignments)
        data->written.insert_or_assign(assignment.name, Definition{assignment.value, main_cf.path, assignment.line});
    for (const auto list : own)
        for (const auto& info : list)
            if (!known(info.name) && !info.is_family())
                data->defaults.emplace(info.name, info.initial);
    for (const auto& parameter : known_parameters())
        if (parameter.initial == "(site)")
            if (auto value = site_default(data->site, parameter.name, data->config_directory, [](auto) { return std::string{}; }))
                data->defaults.insert_or_assign(std::string{parameter.name}, std::move(*value));
    data->compute_defaults();
    data_ = std::move(data);
}

/// The ones that depend on what was written and on each other: host name first, then domain, then networks.
void Snapshot::Data::compute_defaults()
{
    for (const auto* name : computed)
        defaults.erase(name);
    for (const auto* name : computed) {
        auto value = site_default(site, name, config_directory, [this](std::string_view other) {
            const auto raw = lookup(other);
            const auto result =
                raw ? config::expand(*raw, [this](std::string_view inner) { return lookup(inner); }) : Result<std::string>{std::string{}};
            return result ? *result : std::string{};
        });
        if (value)
            defaults.insert_or_assign(std::string{name}, std::move(*value));
    }
}

Snapshot Snapshot::with(std::span<const Assignment> overrides, std::string_view origin) const
{
    if (overrides.empty())
        return *this;
    auto data = std::make_shared<Data>(*data_);
    for (const auto& assignment : overrides)
        data->written.insert_or_assign(assignment.name, Definition{assignment.value, std::string{origin}, assignment.line});
    data->compute_defaults();                     // `-o compatibility_level=...` decides whom mynetworks trusts
    return Snapshot{std::move(data)};
}

Snapshot Snapshot::for_service(std::string_view service_name, std::string_view process_name, std::span<const Assignment> overrides,
                               std::string_view origin) const
{
    auto data = std::make_shared<Data>(*data_);
    data->defaults.insert_or_assign("service_name", std::string{service_name});
    data->site.process_name = process_name;
    data->defaults.insert_or_assign("process_name", std::string{process_name});
    return Snapshot{std::move(data)}.with(overrides, origin);
}

std::optional<std::string_view> Snapshot::lookup(std::string_view name) const { return data_->lookup(name); }

std::optional<std::string_view> Snapshot::Data::lookup(std::string_view name) const
{
    if (const auto found = written.find(name); found != written.end())
        return found->second.value;
    if (const auto found = defaults.find(name); found != defaults.end())
        return found->second;
    if (const auto* parameter = known(name); parameter && parameter->initial != "(site)")
        return parameter->initial;
    return std::nullopt;
}

Result<std::string> Snapshot::expand(std::string_view text) const
{
    return config::expand(text, [this](std::string_view name) { return lookup(name); });
}

std::string Snapshot::text(std::string_view name) const
{
    Reading::note(name);
    const auto raw = lookup(name);
    if (!raw)
        return {};
    auto result = expand(*raw);
    if (!result)
        throw BadValue(fmt::format("parameter {}: {}", name, result.error().what()));
    return std::move(*result);
}

std::optional<std::string> Snapshot::as_written(std::string_view name) const
{
    Reading::note(name);
    const auto raw = lookup(name);
    return raw ? std::optional{std::string{*raw}} : std::nullopt;
}

const Definition* Snapshot::definition(std::string_view name) const
{
    const auto found = data_->written.find(name);
    return found == data_->written.end() ? nullptr : &found->second;
}

std::optional<std::string> Snapshot::default_of(std::string_view name) const
{
    if (const auto found = data_->defaults.find(name); found != data_->defaults.end())
        return found->second;
    const auto* parameter = known(name);
    return parameter ? std::optional{std::string{parameter->initial}} : std::nullopt;
}

Result<Value> Snapshot::try_value(const ParamInfo& info, const std::string& name) const
{
    const auto raw = lookup(name);
    const std::string_view written = raw ? *raw : info.initial;
    if (info.kind == Kind::raw)
        return parse_value(info, name, written, Unit::seconds);
    TRY(const auto text, expand(written));
    auto unit = Unit::seconds;
    if (info.kind == Kind::time) {                // a bare number has the unit of the default
        const auto initial = default_of(name);
        TRY(const auto default_text, expand(initial ? std::string_view{*initial} : info.initial));
        unit = default_text.empty() ? unit : unit_of(default_text.back()).value_or(unit);
    }
    return parse_value(info, name, text, unit);
}

Value Snapshot::value(const ParamInfo& info, const std::string& name) const
{
    Reading::note(name);
    auto result = try_value(info, name);
    if (result)
        return std::move(*result);
    const auto* written = definition(name);
    throw BadValue(fmt::format("{}{}{}", written ? written->place() : "", written ? ": " : "", result.error().what()));
}

Report Snapshot::validated(ParamLists rooms, std::span<const std::string> transports, std::span<const Assignment> master_cf) const
{
    Report report;
    std::unordered_set<std::string> used;
    const auto check = [&](const ParamInfo& info, const std::string& name) {
        used.insert(name);
        const auto result = try_value(info, name);
        if (result)
            return;
        const auto* written = definition(name);
        report.errors.push_back(written ? fmt::format("{}: {}", written->place(), result.error().what())
                                        : fmt::format("parameter {}: {}", name, result.error().what()));
    };
    for (const auto list : rooms) {
        for (const auto& info : list) {
            if (!info.is_family()) {
                check(info, std::string{info.name});
                if (info.name.starts_with("smtp_") && known(name_as(info.name, "lmtp")))
                    check(info, name_as(info.name, "lmtp"));
                continue;
            }
            for (const auto& transport : transports)
                check(info, name_as(info.name, transport));
        }
    }
    // Whatever a value refers to is used, and so is what that refers to; the rest is nobody's.
    std::vector<std::string> open;
    const auto refer = [&](std::string_view text) {
        names_in(text, [&](std::string_view name) {
            if (used.insert(std::string{name}).second)
                open.emplace_back(name);
        });
    };
    const auto is_parameter = [&](const std::string& name) { return used.contains(name) || known(name) || data_->defaults.contains(name); };
    for (const auto& override_ : master_cf)
        refer(override_.value);
    for (const auto& [name, definition] : data_->written)
        if (is_parameter(name))
            refer(definition.value);
    // Old names live on in the defaults of the new ones: postscreen_blacklist_action in postscreen_denylist_action's.
    for (const auto list : rooms)
        for (const auto& info : list)
            if (!info.is_family())
                if (const auto raw = lookup(info.name))
                    refer(*raw);
    // A class of restrictions is named without "$" wherever one stands; that it is one is said here.
    if (const auto classes = lookup("smtpd_restriction_classes"))
        for (const std::string_view name : split(*classes, ", \t\r\n"))
            if (used.insert(std::string{name}).second)
                open.emplace_back(name);
    while (!open.empty()) {
        const auto name = std::move(open.back());
        open.pop_back();
        if (const auto raw = lookup(name))
            refer(*raw);
    }
    for (const auto& [name, definition] : written())
        if (!is_parameter(std::string{name}))
            report.warnings.push_back(fmt::format("{}: unused parameter: {}={}", definition->origin, name, definition->value));
    return report;
}

const std::string& Snapshot::config_directory() const { return data_->config_directory; }

std::vector<std::pair<std::string_view, const Definition*>> Snapshot::written() const
{
    std::vector<std::pair<std::string_view, const Definition*>> all;
    for (const auto& [name, definition] : data_->written)
        all.emplace_back(name, &definition);
    std::ranges::sort(all, {}, [](const auto& entry) { return entry.first; });
    return all;
}

const std::vector<std::string>& Snapshot::warnings() const { return data_->warnings; }

// A snapshot's bytes: a mark with the version, then fields as "LENGTH:octets", counted lists as "COUNT;" in front.
namespace {

constexpr std::string_view mark = "posthorn-snapshot 2\n";

void put(std::string& bytes, std::string_view text) { fmt::format_to(std::back_inserter(bytes), "{}:{}", text.size(), text); }
void put(std::string& bytes, std::size_t count) { fmt::format_to(std::back_inserter(bytes), "{};", count); }

class Reader {
public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}
    std::string text()
    {
        const auto size = number(':');
        if (bad_ || size > rest_.size()) {
            bad_ = true;
            return {};
        }
        std::string text{rest_.substr(0, size)};
        rest_.remove_prefix(size);
        return text;
    }
    std::size_t count()
    {
        const auto n = number(';');
        if (n > rest_.size())                     // each entry takes at least one octet
            bad_ = true;
        return bad_ ? 0 : n;
    }
    std::size_t number(char end)
    {
        const auto at = rest_.substr(0, 24).find(end);
        const auto n = at == rest_.npos ? std::nullopt : parse_number(rest_.substr(0, at));
        if (!n) {
            bad_ = true;
            return 0;
        }
        rest_.remove_prefix(at + 1);
        return *n;
    }
    Site site()
    {
        Site site;
        site.host_name = text();
        site.process_name = text();
        site.process_id = static_cast<int>(number(';'));
        site.has_ipv6 = number(';') != 0;
        for (auto n = count(); n > 0 && !bad_; --n) {
            HostAddress address;
            address.ipv6 = number(';') != 0;
            const auto octets = text();
            address.prefix_length = static_cast<int>(number(';'));
            bad_ = bad_ || octets.size() != address.octets.size() || address.prefix_length < 0 || address.prefix_length > (address.ipv6 ? 128 : 32);
            if (!bad_)
                std::ranges::copy(octets, address.octets.begin());
            site.addresses.push_back(address);
        }
        for (auto n = count(); n > 0 && !bad_; --n) {
            auto name = text();
            site.chosen.insert_or_assign(std::move(name), text());
        }
        return site;
    }
    bool ok() const { return !bad_ && rest_.empty(); }
    bool bad() const { return bad_; }

private:
    std::string_view rest_;
    bool bad_ = false;
};

}  // namespace

std::string Snapshot::serialise() const
{
    std::string bytes{mark};
    const Site& site = data_->site;
    put(bytes, site.host_name);
    put(bytes, site.process_name);
    put(bytes, static_cast<std::size_t>(site.process_id));
    put(bytes, static_cast<std::size_t>(site.has_ipv6));
    put(bytes, site.addresses.size());
    for (const auto& address : site.addresses) {
        put(bytes, static_cast<std::size_t>(address.ipv6));
        put(bytes, std::string_view{reinterpret_cast<const char*>(address.octets.data()), address.octets.size()});
        put(bytes, static_cast<std::size_t>(address.prefix_length));
    }
    put(bytes, site.chosen.size());
    for (const auto& [name, value] : site.chosen) {
        put(bytes, name);
        put(bytes, value);
    }
    put(bytes, data_->config_directory);
    put(bytes, data_->written.size());
    for (const auto& [name, definition] : written()) {
        put(bytes, name);
        put(bytes, definition->value);
        put(bytes, definition->origin);
        put(bytes, static_cast<std::size_t>(definition->line));
    }
    put(bytes, data_->defaults.size());
    for (const auto& [name, value] : data_->defaults) {
        put(bytes, name);
        put(bytes, value);
    }
    put(bytes, data_->warnings.size());
    for (const auto& warning : data_->warnings)
        put(bytes, warning);
    return bytes;
}

Result<Snapshot> Snapshot::parse(std::string_view bytes)
{
    if (!bytes.starts_with(mark))
        return Error{"configuration snapshot: not one of this version"};
    Reader reader{bytes.substr(mark.size())};
    auto data = std::make_shared<Data>();
    data->site = reader.site();
    data->config_directory = reader.text();
    for (auto n = reader.count(); n > 0 && !reader.bad(); --n) {
        auto name = reader.text();
        Definition definition{reader.text(), reader.text(), 0};
        definition.line = static_cast<int>(reader.number(';'));
        data->written.insert_or_assign(std::move(name), std::move(definition));
    }
    for (auto n = reader.count(); n > 0 && !reader.bad(); --n) {
        auto name = reader.text();
        data->defaults.insert_or_assign(std::move(name), reader.text());
    }
    for (auto n = reader.count(); n > 0 && !reader.bad(); --n)
        data->warnings.push_back(reader.text());
    if (!reader.ok())
        return Error{"configuration snapshot: damaged"};
    return Snapshot{std::move(data)};
}

Result<Snapshot> load(const std::string& config_directory, std::string_view process_name, ParamLists own)
{
    TRY(const auto main_cf, read_main_cf(fmt::format("{}/main.cf", config_directory)));
    Snapshot made{this_host(process_name), config_directory, main_cf, own};
    const auto written = made.lookup(enable_idna2003_compatibility.name);
    const auto value = written ? made.expand(*written) : Result<std::string>(std::string());
    convert_as_idna2003(value && iequals(*value, "yes"));              // a value that is wrong is said by who judges all of them
    return made;
}

}  // namespace posthorn::config
