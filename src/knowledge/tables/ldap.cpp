// ldap: directories by OpenLDAP's library, opened when a table names the type.      ldap_table(5), RFC 4511, 4515 (filters), 4516 (URLs)
// Powers   what the library reads once (ldap.conf, the mechanisms of SASL) it reads when the table is opened: a confined process cannot later.
#include "tables/database.hpp"

#include "base/module.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

#include <ldap.h>
#include <sasl/sasl.h>

#include <algorithm>
#include <mutex>
#include <span>

// OpenSSL's own names of them: <openssl/> is wire/tls's, and nothing of them is looked into here.
struct ossl_lib_ctx_st;
struct ossl_provider_st;

namespace posthorn::tables {

namespace {

// clang-format off
#define POSTHORN_LIBLDAP(X) \
    X(ldap_initialize) \
    X(ldap_set_option) \
    X(ldap_start_tls_s) \
    X(ldap_get_option) \
    X(ldap_sasl_bind_s) \
    X(ldap_sasl_interactive_bind_s) \
    X(ldap_search_ext_s) X(ldap_first_entry) X(ldap_next_entry) X(ldap_get_values_len) X(ldap_value_free_len) X(ldap_msgfree) X(ldap_err2string) \
        X(ldap_unbind_ext_s) X(ldap_is_ldap_url) X(ldap_url_parse) X(ldap_free_urldesc)
// clang-format on

struct LdapLibrary {
#define X(name) decltype(&::name) name = nullptr;
    POSTHORN_LIBLDAP(X)
#undef X
    static Result<LdapLibrary> open()
    {
        TRY(const Module module, Module::open("libldap-2.5.so.0", "OpenLDAP's client: package libldap-2.5-0"));
        LdapLibrary library{};
#define X(name) \
    { \
        TRY_VOID(module.load(library.name, #name)); \
    }
        POSTHORN_LIBLDAP(X)
#undef X
        return library;
    }
};

using Words = std::vector<std::string>;

/// Names of attributes are the same in either case (RFC 4512 2.5).
bool any_of(std::span<const std::string> attributes, std::string_view name)
{
    return std::ranges::any_of(attributes, [&](const std::string& attribute) { return iequals(attribute, name); });
}

struct LdapSettings {
    explicit LdapSettings(std::string name, observe::Log where) : spec(std::move(name)), log(std::move(where)) {}
    std::string spec;
    observe::Log log;
    LdapLibrary library{};
    Template base;
    bool base_of_key = false;
    int scope = LDAP_SCOPE_SUBTREE, version = 3, dereference = 0, size_limit = 0;
    enum class Bind { none, simple, sasl } bind = Bind::simple;
    bool referrals = false, start_tls = false, require_certificate = false;
    std::string dn, password, ca_file, ca_folder, certificate, key, ciphers;
    std::string mechanisms, realm, authorization;                // of SASL; who logs in is dn there, which then is a name
    ber_len_t least_strength = 0;
    Words result, special, terminal, leaf;
    int timeout = 10;                                            // seconds
    std::uint64_t recursion_limit = 1000;

    bool asks_for(std::string_view attribute) const
    {
        return std::ranges::any_of(std::array{&result, &special, &terminal, &leaf}, [&](const Words* words) { return any_of(*words, attribute); });
    }
    Words attributes() const
    {
        Words all;
        for (const Words* const words : {&result, &special, &terminal, &leaf})
            std::ranges::copy_if(*words, std::back_inserter(all), [&](const std::string& word) { return !any_of(all, word); });
        return all;
    }
};

/// RFC 4515 3: what a value in a filter must not have as it is.
std::string filter_quoted(std::string_view text)
{
    std::string out;
    for (const char c : text)
        if (c == '*' || c == '(' || c == ')' || c == '\\' || c == '\0')
            out += fmt::format("\\{:02x}", static_cast<unsigned char>(c));
        else
            out += c;
    return out;
}

/// RFC 4514 2.4: the same in a distinguished name.
std::string name_quoted(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        const bool edge = (at == 0 && (c == ' ' || c == '#')) || (at + 1 == text.size() && c == ' ');
        if (edge || std::string_view(",+\"\\<>;=").find(c) != std::string_view::npos)
            out += '\\';
        out += c;
    }
    return out;
}

/// What SASL's library asks of who logs in, out of LdapSettings. What it asks beside that gets its own default.
int answer_sasl(LDAP*, unsigned, void* settings, void* asked)
{
    const auto& set = *static_cast<const LdapSettings*>(settings);
    for (auto* question = static_cast<sasl_interact_t*>(asked); question->id != SASL_CB_LIST_END; ++question) {
        const std::string* answer = nullptr;
        switch (question->id) {
        case SASL_CB_AUTHNAME: answer = &set.dn; break;
        case SASL_CB_PASS: answer = &set.password; break;
        case SASL_CB_USER: answer = &set.authorization; break;
        case SASL_CB_GETREALM: answer = &set.realm; break;
        }
        const char* const text = answer != nullptr && !answer->empty() ? answer->c_str() : question->defresult != nullptr ? question->defresult : "";
        question->result = text;
        question->len = static_cast<unsigned>(std::string_view(text).size());
    }
    return LDAP_SUCCESS;
}

class LdapConnection final : public Connection {
public:
    explicit LdapConnection(std::shared_ptr<const LdapSettings> settings) : settings_(std::move(settings)), ldap_(settings_->library) {}
    ~LdapConnection() override
    {
        if (handle_ != nullptr)
            ldap_.ldap_unbind_ext_s(handle_, nullptr, nullptr);
    }

    static Result<std::unique_ptr<Connection>> open(const std::string& uris, const std::shared_ptr<const LdapSettings>& settings)
    {
        auto made = std::make_unique<LdapConnection>(settings);
        TRY_VOID(made->connect(uris));
        return made;
    }

    Result<std::vector<std::string>> ask(const Template& query, std::string_view key) override
    {
        std::vector<std::string> values;
        const auto base = settings_->base.expand(key, key, name_quoted);
        const auto filter = query.expand(key, key, filter_quoted);
        if (!base || !filter)
            return values;                                       // the key lacks what they take from it
        TRY_VOID(search(Search(*base, settings_->scope, *filter, settings_->attributes()), 0, values));
        return values;
    }
    bool usable() const override { return usable_; }

private:
    struct Search {
        Search(std::string where, int how, std::string what, Words which)
            : base(std::move(where)), scope(how), filter(std::move(what)), attributes(std::move(which))
        {
        }
        std::string base;
        int scope;
        std::string filter;
        Words attributes;
    };

    Error failure(std::string_view doing, int code)
    {
        // What the directory itself answers has a positive code; the library's own are below zero.
        usable_ = usable_ && code > 0 && code != LDAP_BUSY && code != LDAP_UNAVAILABLE;
        return Error{fmt::format("{}: {}", doing, ldap_.ldap_err2string(code))};
    }

    Result<void> connect(const std::string& uris)
    {
        if (const int code = ldap_.ldap_initialize(&handle_, uris.c_str()); code != LDAP_SUCCESS)
            return failure("ldap_initialize", code);
        const LdapSettings& set = *settings_;
        const ::timeval limit{.tv_sec = set.timeout, .tv_usec = 0};
        const auto option = [&](int which, const void* value) { ldap_.ldap_set_option(handle_, which, value); };
        const auto text = [&](int which, const std::string& value) {
            if (!value.empty())
                option(which, value.c_str());
        };
        option(LDAP_OPT_PROTOCOL_VERSION, &set.version);
        option(LDAP_OPT_NETWORK_TIMEOUT, &limit);
        option(LDAP_OPT_TIMEOUT, &limit);
        option(LDAP_OPT_DEREF, &set.dereference);
        option(LDAP_OPT_REFERRALS, set.referrals ? static_cast<const void*>(&set) : LDAP_OPT_OFF);
        text(LDAP_OPT_X_TLS_CACERTFILE, set.ca_file);
        text(LDAP_OPT_X_TLS_CACERTDIR, set.ca_folder);
        text(LDAP_OPT_X_TLS_CERTFILE, set.certificate);
        text(LDAP_OPT_X_TLS_KEYFILE, set.key);
        text(LDAP_OPT_X_TLS_CIPHER_SUITE, set.ciphers);
        const int require = set.require_certificate ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, client = 0;
        option(LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
        option(LDAP_OPT_X_TLS_NEWCTX, &client);
        if (set.start_tls)
            if (const int code = ldap_.ldap_start_tls_s(handle_, nullptr, nullptr); code != LDAP_SUCCESS)
                return failure("STARTTLS", code);
        if (const int code = bind(); code != LDAP_SUCCESS)
            return failure(fmt::format("Unable to bind with {}", set.dn.empty() ? "no dn" : "dn " + set.dn), code);
        return {};
    }

    int bind()
    {
        const LdapSettings& set = *settings_;
        if (set.bind == LdapSettings::Bind::none)
            return LDAP_SUCCESS;
        if (set.bind == LdapSettings::Bind::simple) {
            ::berval credentials{set.password.size(), const_cast<char*>(set.password.data())};
            return ldap_.ldap_sasl_bind_s(handle_, set.dn.c_str(), LDAP_SASL_SIMPLE, &credentials, nullptr, nullptr, nullptr);
        }
        ldap_.ldap_set_option(handle_, LDAP_OPT_X_SASL_SSF_MIN, &set.least_strength);
        return ldap_.ldap_sasl_interactive_bind_s(handle_, nullptr, set.mechanisms.empty() ? nullptr : set.mechanisms.c_str(), nullptr, nullptr,
                                                  LDAP_SASL_QUIET, answer_sasl, const_cast<LdapSettings*>(&set));
    }

    Result<void> search(const Search& what, std::uint64_t depth, std::vector<std::string>& values)
    {
        if (depth >= settings_->recursion_limit)
            return Error{fmt::format("Recursion limit exceeded at \"{}\" (recursion_limit = {})", printable(what.base), settings_->recursion_limit)};
        std::vector<char*> attributes;
        for (const std::string& attribute : what.attributes)
            attributes.push_back(const_cast<char*>(attribute.c_str()));
        attributes.push_back(nullptr);
        ::timeval limit{.tv_sec = settings_->timeout, .tv_usec = 0};
        LDAPMessage* raw = nullptr;
        const int code = ldap_.ldap_search_ext_s(handle_, what.base.c_str(), what.scope, what.filter.c_str(), attributes.data(), 0, nullptr, nullptr,
                                                 &limit, settings_->size_limit, &raw);
        const std::unique_ptr<LDAPMessage, decltype(LdapLibrary::ldap_msgfree)> found(raw, ldap_.ldap_msgfree);
        if (code == LDAP_NO_SUCH_OBJECT && depth > 0) {
            settings_->log.warning("{}: DN {} not found, skipping", settings_->spec, printable(what.base));
            return {};
        }
        // A base made of the key may be none of the directory's; one that is always the same is mistyped, or its part of the tree is away.
        if (code == LDAP_NO_SUCH_OBJECT && settings_->base_of_key)
            return {};
        if (code != LDAP_SUCCESS)
            return failure(fmt::format("search in \"{}\" for \"{}\"", what.base, what.filter), code);
        for (LDAPMessage* entry = ldap_.ldap_first_entry(handle_, raw); entry != nullptr; entry = ldap_.ldap_next_entry(handle_, entry))
            TRY_VOID(take(*entry, what, depth, values));
        return {};
    }

    /// What one entry gives: its terminal attributes alone where it has some; else its results, those of the entries it points to, and
    /// where it points to none its leaf attributes.
    Result<void> take(LDAPMessage& entry, const Search& from, std::uint64_t depth, std::vector<std::string>& values)
    {
        const Words terminal = values_of(entry, from, settings_->terminal);
        if (!terminal.empty()) {
            values.insert(values.end(), terminal.begin(), terminal.end());
            return {};
        }
        const Words special = values_of(entry, from, settings_->special);
        Words own = settings_->result;
        if (special.empty())
            own.insert(own.end(), settings_->leaf.begin(), settings_->leaf.end());
        const Words found = values_of(entry, from, own);
        values.insert(values.end(), found.begin(), found.end());
        for (const std::string& next : special)
            TRY_VOID(follow(next, from, depth, values));
        return {};
    }

    Result<void> follow(const std::string& next, const Search& from, std::uint64_t depth, std::vector<std::string>& values)
    {
        if (ldap_.ldap_is_ldap_url(next.c_str()) == 0)
            return search(Search(next, LDAP_SCOPE_BASE, "(objectclass=*)", settings_->attributes()), depth + 1, values);
        LDAPURLDesc* raw = nullptr;
        if (ldap_.ldap_url_parse(next.c_str(), &raw) != 0)
            return Error{fmt::format("malformed LDAP URL \"{}\" in \"{}\"", printable(next), from.base)};
        const std::unique_ptr<LDAPURLDesc, decltype(LdapLibrary::ldap_free_urldesc)> url(raw, ldap_.ldap_free_urldesc);
        Words attributes;
        for (char** attribute = url->lud_attrs; attribute != nullptr && *attribute != nullptr; ++attribute)
            if (settings_->asks_for(*attribute))
                attributes.emplace_back(*attribute);
        if (url->lud_attrs == nullptr)
            attributes = settings_->attributes();
        if (attributes.empty())
            return {};
        return search(Search(url->lud_dn != nullptr ? url->lud_dn : "", url->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : url->lud_scope,
                             url->lud_filter != nullptr ? url->lud_filter : "(objectclass=*)", std::move(attributes)),
                      depth + 1, values);
    }

    Words values_of(LDAPMessage& entry, const Search& from, const Words& attributes) const
    {
        Words values;
        for (auto attribute = attributes.begin(); attribute != attributes.end(); ++attribute) {
            const bool had = any_of({attributes.begin(), attribute}, *attribute);                  // a leaf that is a result as well
            if (had || !any_of(from.attributes, *attribute))
                continue;
            const std::unique_ptr<berval*, decltype(LdapLibrary::ldap_value_free_len)> found(
                ldap_.ldap_get_values_len(handle_, &entry, attribute->c_str()), ldap_.ldap_value_free_len);
            for (berval** value = found.get(); value != nullptr && *value != nullptr; ++value)
                values.emplace_back((*value)->bv_val, (*value)->bv_len);
        }
        return values;
    }

    std::shared_ptr<const LdapSettings> settings_;
    const LdapLibrary& ldap_;
    LDAP* handle_ = nullptr;
    bool usable_ = true;
};

/// All servers as one list of URLs: the library tries them in their order.
std::string uris(const SourceConfig& config, std::uint64_t port)
{
    std::string list;
    for (const std::string& word : config.words("server_host", "localhost")) {
        list += list.empty() ? "" : " ";
        if (word.find("://") != word.npos)
            list += word;
        else
            list += fmt::format("ldap://{}{}", word, word.find(':') == word.npos ? fmt::format(":{}", port) : "");
    }
    return list.empty() ? fmt::format("ldap://localhost:{}", port) : list;
}

Result<std::shared_ptr<LdapSettings>> settings_from(const std::string& spec, const SourceConfig& config, const observe::Log& log)
{
    auto set = std::make_shared<LdapSettings>(spec, log);
    auto base = Template::parse(config.text("search_base"));
    if (!base)
        return config.wrong("search_base", base.error().what());
    set->base = std::move(*base);
    set->base_of_key = set->base.takes_from_key();
    const std::string scope = config.text("scope", "sub");
    if (scope != "sub" && scope != "base" && scope != "one")
        log.warning("{}; it is sub here", config.wrong("scope", fmt::format("\"{}\" is none of sub, base, one", printable(scope))).what());
    set->scope = scope == "base" ? LDAP_SCOPE_BASE : scope == "one" ? LDAP_SCOPE_ONELEVEL : LDAP_SCOPE_SUBTREE;
    const std::string bind = config.text("bind", "yes");
    using enum LdapSettings::Bind;
    if (!iequals(bind, "yes") && !iequals(bind, "simple") && !iequals(bind, "sasl") && !iequals(bind, "no") && !iequals(bind, "none"))
        return config.wrong("bind", fmt::format("\"{}\" is none of yes, simple, sasl, no, none", printable(bind)));
    set->bind = iequals(bind, "sasl") ? sasl : iequals(bind, "yes") || iequals(bind, "simple") ? simple : none;
    set->mechanisms = config.text("sasl_mechs");
    set->realm = config.text("sasl_realm");
    set->authorization = config.text("sasl_authz_id");
    TRY(set->least_strength, config.number("sasl_minssf", 0, 0, 1'000'000));
    set->dn = config.text("bind_dn");
    set->password = config.text("bind_pw");
    set->ca_file = config.text("tls_ca_cert_file");
    set->ca_folder = config.text("tls_ca_cert_dir");
    set->certificate = config.text("tls_cert");
    set->key = config.text("tls_key");
    set->ciphers = config.text("tls_cipher_suite");
    set->result = config.words("result_attribute", "maildrop");
    set->special = config.words("special_result_attribute");
    set->terminal = config.words("terminal_result_attribute");
    set->leaf = config.words("leaf_result_attribute");
    TRY(set->start_tls, config.yes("start_tls", false));
    TRY(set->require_certificate, config.yes("tls_require_cert", false));
    TRY(set->referrals, config.yes("chase_referrals", false));
    TRY(auto version, config.number("version", 3, 0, 1'000'000));
    if (version != 2 && version != 3) {
        log.warning("{}; it is 3 here", config.wrong("version", fmt::format("\"{}\" is neither 2 nor 3", version)).what());
        version = 3;
    }
    if (set->start_tls && version == 2) {
        log.warning("{}; it is 3 here", config.wrong("version", "start_tls needs 3").what());
        version = 3;
    }
    TRY(const auto timeout, config.number("timeout", 10, 1, 3600));
    TRY(auto dereference, config.number("dereference", 0, 0, 1'000'000));
    if (dereference > 3) {
        log.warning("{}; it is 0 here", config.wrong("dereference", fmt::format("\"{}\" is no number from 0 to 3", dereference)).what());
        dereference = 0;
    }
    TRY(const auto expansion, config.number("expansion_limit", 0, 0, 1'000'000'000));
    TRY(const auto size, config.number("size_limit", expansion, 0, 1'000'000'000));
    TRY(set->recursion_limit, config.number("recursion_limit", 1000, 1, 1'000'000));
    set->version = static_cast<int>(version);
    set->timeout = static_cast<int>(timeout);
    set->dereference = static_cast<int>(dereference);
    set->size_limit = static_cast<int>(size);
    return set;
}

/// DIGEST-MD5 encrypts by RC4, which is in a module of OpenSSL's that is opened for each session: one that is loaded is found by its name.
/// Without it sessions are held with what strength remains.
void keep_old_ciphers()
{
    const auto library = Module::open("libcrypto.so.3", "package libssl3");
    ossl_lib_ctx_st* (*make)() = nullptr;
    ossl_provider_st* (*load)(ossl_lib_ctx_st*, const char*) = nullptr;
    if (library && library->load(make, "OSSL_LIB_CTX_new") && library->load(load, "OSSL_PROVIDER_load"))
        load(make(), "legacy");                                  // in a context of its own, which nobody else has; it stays
}

/// Any option that is asked for makes the library read ldap.conf; the list of mechanisms, load them.
void read_once(const LdapLibrary& library, bool sasl)
{
    int version = 0;
    library.ldap_get_option(nullptr, LDAP_OPT_PROTOCOL_VERSION, &version);
    if (!sasl)
        return;
    char** mechanisms = nullptr;                                 // the library's own
    library.ldap_get_option(nullptr, LDAP_OPT_X_SASL_MECHLIST, &mechanisms);
    static std::once_flag once;
    std::call_once(once, keep_old_ciphers);
}

}  // namespace

std::shared_ptr<Table> open_ldap(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto open = [&]() -> Result<std::shared_ptr<Table>> {
        TRY(const SourceConfig config, SourceConfig::read(name, tables.site()));
        TRY(auto settings, settings_from(spec, config, tables.site().log));
        TRY(const auto port, config.number("server_port", 389, 1, 65535));
        TRY(auto question, Question::read(spec, config, "query_filter", config.text("query_filter", "(mailacceptinggeneralid=%s)"), tables,
                                          config.text("result_filter", "%s")));        // its name before Postfix 2.2

        static const Result<LdapLibrary> library = LdapLibrary::open();
        TRY(settings->library, Result<LdapLibrary>(library));
        read_once(settings->library, settings->bind == LdapSettings::Bind::sasl);
        return std::make_shared<DatabaseTable>(
            spec, flags, std::move(question), std::vector{uris(config, port)},
            [settings](const std::string& servers) { return LdapConnection::open(servers, settings); }, tables,
            DatabaseTable::Rest{.failing = std::chrono::seconds{0}, .least = std::chrono::seconds{0}});
    };
    auto table = open();
    return table ? std::move(*table) : broken_table(std::move(spec), std::move(table).error());
}

}  // namespace posthorn::tables
