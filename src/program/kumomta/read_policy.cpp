// A policy, run and asked. What its handlers would answer is asked of them for each word that stands in its text: a name
// that is answered as any other would be is no rule.
#include "base/strings.hpp"
#include "kumomta/data_file.hpp"
#include "kumomta/lua_box.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace posthorn::kumomta {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_words = 4000;
// Names that nobody has: what is answered for them is what is answered for any.
constexpr const char *any_name = "\1name\1", *any_domain = "\1domain\1", *any_author = "\1author\1", *any_recipient = "\1recipient\1";
constexpr const char* by_smtp = "smtp_server_message_received";
constexpr const char* default_shaping = "/opt/kumomta/share/policy-extras/shaping.toml";

void replace_all(std::string& text, std::string_view from, std::string_view to)
{
    for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
        text.replace(at, from.size(), to);
}

Value replaced(Value value, std::string_view from, std::string_view to)
{
    replace_all(value.text, from, to);
    for (Value& item : value.items)
        item = replaced(std::move(item), from, to);
    for (Entry& entry : value.entries) {
        replace_all(entry.name, from, to);
        entry.value = replaced(std::move(entry.value), from, to);
    }
    return value;
}

bool has_marker(const Value& value)
{
    return value.text.find('\1') != value.text.npos || std::ranges::any_of(value.items, has_marker) ||
           std::ranges::any_of(value.entries,
                               [](const Entry& entry) { return entry.name.find('\1') != std::string::npos || has_marker(entry.value); });
}

/// Without what depends on the name that was asked for.
Value certain(Value value)
{
    std::erase_if(value.entries, [](const Entry& entry) { return has_marker(entry.value) || entry.value.kind == Value::Kind::unknown; });
    return value;
}

void place_all(Value& value, const Place& place)
{
    value.place = place;
    for (Value& item : value.items)
        place_all(item, place);
    for (Entry& entry : value.entries)
        place_all(entry.value, place);
}

/// The words of a text: names, and what stands in quotes.
void add_words(std::string_view text, std::set<std::string>& words)
{
    const auto belongs = [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.' || c == '*'; };
    for (std::size_t at = 0; at < text.size() && words.size() < most_words;) {
        std::size_t end = at;
        if (text[at] == '\'' || text[at] == '"') {
            end = text.find_first_of("'\"\n", at + 1);
            if (end == text.npos)
                return;
            if (end - at > 1 && end - at < 100)
                words.emplace(text.substr(at + 1, end - at - 1));
            ++end;
            if (text[end - 1] == '\n' || text[end - 1] == text[at]) {
                at = end;
                continue;
            }
        }
        while (end < text.size() && belongs(text[end]))
            ++end;
        if (end > at && end - at < 100 && belongs(text[at])) {
            const std::string_view word = text.substr(at, end - at);
            words.emplace(word);                                   // a domain, or TENANTS.gold
            for (const std::string_view part : split(word, "."))
                words.emplace(part);
        }
        at = std::max(end, at + 1);
    }
}

class Reader {
public:
    Reader(const std::string& path, const Machine& machine) : machine_(machine), folder_(fs::path(path).parent_path().string()), box_(doors())
    {
        policy_.path = path;
        for (Value* const value : {&policy_.sources, &policy_.pools, &policy_.queues, &policy_.shaping, &policy_.domains, &policy_.signing})
            value->place = {path, 0};
    }

    Result<Policy> read()
    {
        const auto text = machine_.read(policy_.path);
        if (!text)
            return text.error();
        add_words(*text, words_);
        if (const auto ran = box_.run(*text, policy_.path); !ran)
            return ended(ran.error());
        for (const char* event : {"pre_init", "init"}) {
            event_ = event;
            if (const auto fired = box_.ask("fire", {Value::of(event, {})}); !fired)
                return ended(fired.error());
        }
        TRY_VOID(helper_files());
        defined();
        // Sources, pools and domains that files name are asked about, too.
        for (const Value* named : std::initializer_list<const Value*>{&policy_.sources, &policy_.pools, policy_.queues.find("tenant"),
                                                                      policy_.queues.find("queue"), &policy_.shaping, &policy_.domains})
            for (const Entry& entry : named ? named->entries : std::vector<Entry>())
                words_.insert(entry.name);
        ask_queues();
        ask_pools();
        ask_sources();
        ask_paths();
        ask_domains();
        for (const char* event : {by_smtp, "http_message_generated"})
            ask_messages(event);
        if (box_.spent())
            return Error{fmt::format("{}: its handlers take too long", policy_.path)};
        return std::move(policy_);
    }

private:
    Doors doors()
    {
        return {
            .record = [this](Call call) { record(std::move(call)); },
            .data = [this](const std::string& path, const std::string& text) { return text.empty() ? load(path) : parse_data(text, "text." + path); },
            .module = [this](const std::string& name) { return module(name); },
            .environment = [this](const std::string& name, const Place& place) { return variable(name, place); }};
    }

    std::optional<std::string> variable(const std::string& name, const Place& place)
    {
        const auto value = machine_.environment ? machine_.environment(name) : std::nullopt;
        if (std::ranges::find(policy_.environment, name, &Variable::name) == policy_.environment.end() && policy_.environment.size() < value_count)
            policy_.environment.push_back({place.file.empty() ? Place{policy_.path, 0} : place, name, value.has_value()});
        return value;
    }

    /// What a policy ends with is often a variable that it has where it is started.
    Error ended(const Error& trouble) const
    {
        std::vector<std::string> unset;
        for (const Variable& one : policy_.environment)
            if (!one.is_set)
                unset.push_back(printable(one.name, true));
        std::vector<std::string> unanswered;
        for (const Call& call : policy_.calls)
            for (const std::string_view room : {"io.", "os.", "dns.", "http."})
                if (call.name.starts_with(room) && call.name.find('(') == call.name.npos &&
                    std::ranges::find(unanswered, call.name) == unanswered.end())
                    unanswered.push_back(call.name);
        std::string text = trouble.text();
        if (!unset.empty())
            text += fmt::format(" (not set in the environment that this has: {}; run it with KumoMTA's)", fmt::join(unset, ", "));
        if (!unanswered.empty())
            text += fmt::format(" (not answered here: {})", printable(fmt::format("{}", fmt::join(unanswered, ", ")), true));
        return Error{text};
    }

    void record(Call call)
    {
        call.event = event_;
        if (call.name == "on")
            policy_.handlers.push_back({call.place, call.first().word().value_or(""), {}});
        else if (policy_.calls.size() < value_count)
            policy_.calls.push_back(std::move(call));
    }

    std::pair<std::string, std::string> module(const std::string& name) const
    {
        std::string path = name;
        replace_all(path, ".", "/");                               // nothing is left that leads up
        if (path.empty() || path.find('\0') != path.npos)
            return {};
        for (const std::string& file :
             {folder_ + "/" + path + ".lua", folder_ + "/" + path + "/init.lua", folder_ + "/" + fs::path(path).filename().string() + ".lua"})
            if (machine_.exists(file))
                if (auto text = machine_.read(file)) {
                    add_words(*text, words_);
                    return {file, *text};
                }
        return {};
    }

    void miss(const std::string& path)
    {
        if (std::ranges::find(policy_.missing, path) == policy_.missing.end())
            policy_.missing.push_back(path);
    }

    /// A file that is not there is an empty table, and named.
    Result<Value> load(const std::string& path)
    {
        const auto text = path.starts_with('/') && machine_.exists(path) ? machine_.read(path) : Result<std::string>(Error{"no such file"});
        if (!text) {
            miss(path);
            return Value::table({path, 0});
        }
        return parse_data(*text, path);
    }

    Result<void> add_files(const Value& files, void (*add)(Policy&, Value))
    {
        std::vector<Value> each = files.kind == Value::Kind::list ? files.items : std::vector<Value>{files};
        for (Value& one : each) {
            if (one.is_table())
                add(policy_, std::move(one));
            else if (const auto path = one.word()) {
                auto file = load(*path);
                if (!file)
                    return file.error();
                add(policy_, *std::move(file));
            }
        }
        return {};
    }

    Result<void> shaping_files(const Call& call)
    {
        const auto named = call.first().words();
        const bool without = call.arguments.size() > 1 && call.arguments[1].boolean;
        if (!without && std::ranges::find(named, default_shaping) == named.end())
            TRY_VOID(add_files(Value::of(default_shaping, call.place), add_shaping));
        return add_files(call.first(), add_shaping);
    }

    /// What helpers were given: read. Their calls need no verdict besides.
    Result<void> helper_files()
    {
        const std::vector<Call> calls = std::move(policy_.calls);
        policy_.calls.clear();
        for (const Call& call : calls) {
            if (call.name == "sources:setup") {
                TRY_VOID(add_files(call.first(), add_sources));
            } else if (call.name == "queue:setup") {
                policy_.tenants_are_checked = true;
                TRY_VOID(add_files(call.first(), add_queues));
            } else if (call.name == "listener_domains:setup") {
                TRY_VOID(add_files(call.first(), add_domains));
            } else if (call.name == "dkim_sign:setup") {
                TRY_VOID(add_files(call.first(), add_signing));
            } else if (call.name == "shaping:setup") {
                TRY_VOID(shaping_files(call));
            } else {
                policy_.calls.push_back(call);
            }
        }
        return {};
    }

    /// Older policies define sources and pools by calls.
    void defined()
    {
        std::erase_if(policy_.calls, [this](const Call& call) {
            if (call.name == "define_egress_source" && !call.first().word_of("name").empty())
                policy_.sources.put(call.first().word_of("name"), call.first());
            else if (call.name == "define_egress_pool" && !call.first().word_of("name").empty())
                add_pool(call.first().word_of("name"), call.first());
            else
                return false;
            return true;
        });
    }

    void add_pool(const std::string& name, const Value& made)
    {
        Value pool = Value::table(made.place);
        if (const Value* const entries = made.find("entries"))
            for (const Value& entry : entries->items)
                if (const std::string source = entry.word_of("name"); !source.empty()) {
                    pool.put(source, entry);
                    words_.insert(source);
                }
        policy_.pools.put(name, std::move(pool));
    }

    Handler* handler(std::string_view event)
    {
        const auto found = std::ranges::find(policy_.handlers, event, [](const Handler& one) { return std::string_view(one.event); });
        return found == policy_.handlers.end() ? nullptr : &*found;
    }

    bool asks(const char* event)
    {
        const auto said = box_.ask("asks", {Value::of(event, {})});
        return said && said->boolean && handler(event);
    }

    /// What a handler answers; nothing where it fails. `serious`: then its failure is named.
    Value ask(const char* event, const std::vector<std::string>& arguments, bool serious, const char* function = "answer")
    {
        std::vector<Value> all;
        if (std::string_view(function) == "answer" || std::string_view(function) == "domain")
            all.push_back(Value::of(event, {}));
        for (const std::string& argument : arguments)
            all.push_back(argument.empty() ? Value() : Value::of(argument, {}));
        auto said = box_.ask(function, all);
        Handler* const one = handler(event);
        if (!said) {
            if (serious && one && one->trouble.empty())
                one->trouble = said.error().text();
            return {};
        }
        if (one)
            place_all(*said, one->place);
        return *std::move(said);
    }

    /// Calls `found` for each word that is answered otherwise than any name would be.
    template <class Ask, class Found>
    void each_rule(const Value& any, const char* marker, Ask answer, Found found)
    {
        for (const std::string& word : words_) {
            if (box_.spent())
                return;
            const Value said = answer(word);
            if (said.is_table() && !said.same_as(replaced(any, marker, word)))
                found(word, said);
        }
    }

    static Value differing(const Value& value, const Value& common)
    {
        Value rest = certain(value);
        std::erase_if(rest.entries, [&](const Entry& entry) {
            const Value* const known = common.find(entry.name);
            return known && known->same_as(entry.value);
        });
        return rest;
    }

    void ask_queues()
    {
        constexpr const char* event = "get_queue_config";
        if (!asks(event))
            return;
        const Value any = ask(event, {any_domain, "", "", ""}, true);
        Value by_default = certain(any);
        const Value tenants = ask(event, {any_domain, any_name, "", ""}, false);
        policy_.tenants_are_pools = tenants.word_of("egress_pool") == any_name;
        if (by_default.is_table())
            merge(policy_.queues.at("queue", by_default.place).at("default", by_default.place), by_default);
        each_rule(
            tenants, any_name, [&](const std::string& word) { return ask(event, {any_domain, word, "", ""}, false); },
            [&](const std::string& word, const Value& said) { policy_.queues.at("tenant", said.place).put(word, differing(said, by_default)); });
        each_rule(
            any, any_domain, [&](const std::string& word) { return word.find('.') == word.npos ? Value() : ask(event, {word, "", "", ""}, false); },
            [&](const std::string& word, const Value& said) {
                merge(policy_.queues.at("queue", said.place).at(word, said.place), differing(said, by_default));
            });
    }

    void ask_pools()
    {
        constexpr const char* event = "get_egress_pool";
        if (!asks(event))
            return;
        std::set<std::string> named;
        for (const char* section : {"queue", "tenant"})
            if (const Value* const queues = policy_.queues.find(section))
                for (const Entry& entry : queues->entries)
                    named.insert(entry.value.word_of("egress_pool"));
        named.erase("");
        named.erase("unspecified");
        words_.insert(named.begin(), named.end());
        const auto answer = [&](const std::string& word) { return ask(event, {word}, named.contains(word)); };
        const Value any = ask(event, {any_name}, false);
        const std::set<std::string> words = words_;  // add_pool has new ones
        for (const std::string& word : words)
            if (const Value said = answer(word); said.is_table() && (named.contains(word) || !said.same_as(replaced(any, any_name, word))))
                add_pool(word, said);
    }

    void ask_sources()
    {
        constexpr const char* event = "get_egress_source";
        if (!asks(event))
            return;
        std::set<std::string> named;
        for (const Entry& pool : policy_.pools.entries)
            for (const Entry& member : pool.value.entries)
                named.insert(member.name);
        const Value any = ask(event, {any_name}, false);
        for (const std::string& word : words_)
            if (const Value said = ask(event, {word}, named.contains(word));
                said.is_table() && (named.contains(word) || !said.same_as(replaced(any, any_name, word))))
                policy_.sources.put(word, said);
    }

    void ask_paths()
    {
        constexpr const char* event = "get_egress_path_config";
        if (!asks(event))
            return;
        const Value any = ask(event, {any_domain, any_name, any_domain}, true);
        const Value by_default = certain(any);
        if (!by_default.is_table())
            return;
        merge(policy_.shaping.at("default", by_default.place), by_default);
        each_rule(
            any, any_domain,
            [&](const std::string& word) { return word.find('.') == word.npos ? Value() : ask(event, {word, any_name, word}, false); },
            [&](const std::string& word, const Value& said) { merge(policy_.shaping.at(word, said.place), differing(said, by_default)); });
        for (const Entry& source : policy_.sources.entries)
            if (const Value said = ask(event, {any_domain, source.name, any_domain}, false);
                said.is_table() && !said.same_as(replaced(any, any_name, source.name)))
                policy_.shaping.at("default", said.place).at("sources", said.place).put(source.name, differing(said, by_default));
    }

    void ask_domains()
    {
        constexpr const char* event = "get_listener_domain";
        if (!asks(event))
            return;
        const Value any = ask(event, {any_domain}, true, "domain");
        if (any.is_table())
            policy_.domains.put("*", certain(any));
        each_rule(
            any, any_domain, [&](const std::string& word) { return word.find('.') == word.npos ? Value() : ask(event, {word}, false, "domain"); },
            [&](const std::string& word, const Value& said) { policy_.domains.put(word, certain(said)); });
    }

    bool listens_for_smtp() const { return std::ranges::find(policy_.calls, "start_esmtp_listener", &Call::name) != policy_.calls.end(); }

    Value handled(const char* event, const std::string& author, bool fields, const std::string& recipient = any_recipient)
    {
        Value with;
        with.kind = Value::Kind::boolean;
        with.boolean = fields;
        auto said = box_.ask("handle", {Value::of(event, {}), Value::of(author, {}), with, Value::of(recipient, {})});
        if (!said)
            return {};
        if (const Handler* const one = handler(event))
            place_all(*said, one->place);
        return *std::move(said);
    }

    /// A domain that the policy names may be asked for.
    bool same_for_recipients(const char* event, std::string_view key, const std::string& said)
    {
        return std::ranges::all_of(words_, [&](const std::string& word) {
            if (word.find('.') == word.npos || box_.spent())
                return true;
            const Value notes = handled(event, any_author, true, word);
            const Value* const meta = notes.find("meta");
            return meta && meta->word_of(key) == said;
        });
    }

    /// What is certain of a handler that acts on messages: the field that names the tenant, and who signs.
    void ask_messages(const char* event)
    {
        Handler* const one = handler(event);
        if (!one)
            return;
        const Value any = handled(event, any_author, true), bare = handled(event, any_author, false);
        if (const std::string trouble = any.word_of("trouble"); !trouble.empty() && any.word_of("trouble").find('\1') == trouble.npos)
            one->trouble = trouble.starts_with("0:") ? "line " + trouble.substr(2) : trouble;
        const Value* const meta = any.find("meta");
        std::string tenant = meta ? meta->word_of("tenant") : "";
        constexpr std::string_view head = "\1field:";
        if (tenant.starts_with(head) && tenant.ends_with('\1')) {
            tenant = tenant.substr(head.size(), tenant.size() - head.size() - 1);
            const Value* const removed = any.find("removed");
            if (!policy_.queues.find("tenant_header")) {
                policy_.queues.put("tenant_header", Value::of(tenant, one->place));
                if (removed && removed->yes(tenant))
                    policy_.queues.put("remove_tenant_header", *removed->find(tenant));
            }
        }
        const Value* const bare_meta = bare.find("meta");
        if (const std::string by_default = bare_meta ? bare_meta->word_of("tenant") : "";
            !by_default.empty() && by_default.find('\1') == by_default.npos && !policy_.queues.find("default_tenant"))
            policy_.queues.put("default_tenant", Value::of(by_default, one->place));
        // What comes by SMTP decides where all mail goes; by HTTP, where that is the only way.
        const bool decides = std::string_view(event) == by_smtp || !listens_for_smtp();
        const auto of_all = [&](std::string_view key) {
            const std::string word = meta ? meta->word_of(key) : "";
            const bool same = decides && !word.empty() && word.find('\1') == word.npos && bare_meta && bare_meta->word_of(key) == word;
            return same && same_for_recipients(event, key, word) ? word : std::string();
        };
        policy_.discards = policy_.discards || of_all("queue") == "null";
        const std::string smart_host = of_all("routing_domain");
        const Value* const queue = policy_.queues.find("queue");
        const Value* const all = queue ? queue->find("default") : nullptr;
        const std::string already = all ? all->word_of("routing_domain") : "";
        const bool as_all = !smart_host.empty() || (!already.empty() && meta && meta->word_of("routing_domain") == already);
        if (!smart_host.empty())
            policy_.queues.at("queue", one->place).at("default", one->place).put("routing_domain", Value::of(smart_host, one->place));
        std::vector<std::string> besides;
        for (const Entry& entry : meta ? meta->entries : std::vector<Entry>())
            if (entry.name != "tenant" && !(entry.name == "routing_domain" && as_all))
                besides.push_back("set_meta " + entry.name);
        if (const Value* const called = any.find("calls"))
            for (const Entry& entry : called->entries)
                besides.push_back(entry.name);
        // Who signs for whomever it is has no table here.
        if (const Value* const signers = any.find("signers"))
            for (const Value& signer : signers->items)
                if (has_marker(signer))
                    besides.push_back("dkim_sign for every author: " + replaced(signer, any_author, "AUTHOR").shown());
        one->besides = fmt::format("{}", fmt::join(besides, ", "));
        for (const std::string& word : words_)
            if (word.find('.') != word.npos && !box_.spent())
                add_signers(handled(event, word, true), word, any, *one);
    }

    /// Signers for an author's domain: its own, and others that sign besides.
    void add_signers(const Value& notes, const std::string& author, const Value& any, Handler& by)
    {
        const Value* const signers = notes.find("signers");
        const Value* const of_any = any.find("signers");
        for (const Value& signer : signers ? signers->items : std::vector<Value>()) {
            const std::string domain = signer.word_of("domain");
            Value made = certain(signer);
            const Value* const key = signer.find("key") ? signer.find("key") : signer.find("file_name");
            if (const auto file = key ? key->word() : std::nullopt)
                made.put("filename", Value::of(*file, signer.place));
            std::erase_if(made.entries, [](const Entry& entry) { return entry.name == "key" || entry.name == "file_name"; });
            const bool of_all = of_any && std::ranges::any_of(of_any->items, [&](const Value& one) { return one.same_as(signer); });
            // A key that is not there is named where the signature is written.
            const bool as_any =
                of_any && std::ranges::any_of(of_any->items, [&](const Value& one) { return replaced(one, any_author, author).same_as(signer); });
            if (domain == author && !of_all && (!as_any || machine_.exists(made.word_of("filename")))) {
                policy_.signing.at("domain", made.place).put(author, made);
            } else if (of_all && !domain.empty() && !(policy_.signing.find("signature") && policy_.signing.find("signature")->find(domain))) {
                policy_.signing.at("signature", made.place).put(domain, made);
                Value names;
                if (const Value* const base = policy_.signing.find("base"); base && base->find("additional_signatures"))
                    names = *base->find("additional_signatures");
                names.kind = Value::Kind::list;
                names.place = made.place;
                names.items.push_back(Value::of(domain, made.place));
                policy_.signing.at("base", made.place).put("additional_signatures", names);
            } else if (!of_all && !as_any && domain != author) {
                by.besides += fmt::format("{}dkim_sign as {} for {}", by.besides.empty() ? "" : ", ", domain, author);
            }
        }
    }

    const Machine& machine_;
    std::string folder_, event_;
    mutable std::set<std::string> words_;
    Policy policy_;
    LuaBox box_;
};

}  // namespace

Result<Policy> read_policy(const std::string& path, const Machine& machine) { return Reader(path, machine).read(); }

}  // namespace posthorn::kumomta
