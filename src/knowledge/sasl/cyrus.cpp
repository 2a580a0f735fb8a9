#include "sasl/cyrus.hpp"

#include "base/module.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>
#include <sasl/sasl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>

namespace posthorn::sasl {

namespace {

struct CyrusLibrary {
    decltype(&::sasl_set_mutex) set_mutex;
    decltype(&::sasl_server_init) server_init;
    decltype(&::sasl_server_new) server_new;
    decltype(&::sasl_listmech) list_mechanisms;
    decltype(&::sasl_server_start) server_start;
    decltype(&::sasl_server_step) server_step;
    decltype(&::sasl_getprop) get_property;
    decltype(&::sasl_setprop) set_property;
    decltype(&::sasl_errstring) error_text;
    decltype(&::sasl_dispose) dispose;

    static Result<CyrusLibrary> open()
    {
        TRY(const Module module, Module::open("libsasl2.so.2", "package libsasl2-2"));
        CyrusLibrary made{};
        TRY_VOID(module.load(made.set_mutex, "sasl_set_mutex"));
        TRY_VOID(module.load(made.server_init, "sasl_server_init"));
        TRY_VOID(module.load(made.server_new, "sasl_server_new"));
        TRY_VOID(module.load(made.list_mechanisms, "sasl_listmech"));
        TRY_VOID(module.load(made.server_start, "sasl_server_start"));
        TRY_VOID(module.load(made.server_step, "sasl_server_step"));
        TRY_VOID(module.load(made.get_property, "sasl_getprop"));
        TRY_VOID(module.load(made.set_property, "sasl_setprop"));
        TRY_VOID(module.load(made.error_text, "sasl_errstring"));
        TRY_VOID(module.load(made.dispose, "sasl_dispose"));
        return made;
    }
};

/// The library asks for options through callbacks that are the process's: whom they answer for is the thread's affair.
struct CyrusScope {
    CyrusScope(const CyrusSite& asking, std::vector<std::string>* into) : site(asking), complaints(into), outer(current) { current = this; }
    ~CyrusScope() { current = outer; }
    CyrusScope(CyrusScope&&) = delete;

    const CyrusSite& site;
    std::vector<std::string>* complaints;
    std::string moved;                                  // of the last option; lives until the next is asked for
    CyrusScope* outer;
    static thread_local CyrusScope* current;
};
thread_local CyrusScope* CyrusScope::current = nullptr;

int get_option(void*, const char*, const char* name, const char** result, unsigned* length)
{
    CyrusScope* const scope = CyrusScope::current;
    if (!scope || !name || !result)
        return SASL_FAIL;
    const std::string* value = scope->site.config.option(name);
    const bool is_place = name == std::string_view("saslauthd_path") || name == std::string_view("sasldb_path");
    if (is_place && !scope->site.root.empty()) {
        const std::string place = value ? *value : std::string(name == std::string_view("sasldb_path") ? default_sasldb : default_saslauthd);
        if (place.starts_with('/') && ::access((scope->site.root + place).c_str(), F_OK) == 0) {
            scope->moved = scope->site.root + place;
            value = &scope->moved;
        }
    }
    if (!value)
        return SASL_FAIL;
    *result = value->c_str();
    if (length)
        *length = static_cast<unsigned>(value->size());
    return SASL_OK;
}

int take_complaint(void*, int level, const char* text)
{
    CyrusScope* const scope = CyrusScope::current;
    constexpr std::size_t at_most = 20;
    if (!scope || !scope->complaints || !text || scope->complaints->size() >= at_most)
        return SASL_OK;
    if (level == SASL_LOG_FAIL)
        scope->complaints->push_back(fmt::format("SASL authentication failure: {}", printable(text)));
    else if (level == SASL_LOG_ERR || level == SASL_LOG_WARN)
        scope->complaints->push_back(fmt::format("SASL authentication problem: {}", printable(text)));
    return SASL_OK;
}

/// The library would look for a file by itself: what it may know, it asks for.
int no_folder(void*, const char** path)
{
    *path = "/dev/null";
    return SASL_OK;
}

template <class Function>
int (*callback(Function function))()
{
    return reinterpret_cast<int (*)()>(reinterpret_cast<void*>(function));       // the library's own way: the number says what it is
}

// Its objects are guarded by mutexes of ours: without them it is for one thread.
void* new_mutex() { return new std::mutex; }
int lock_mutex(void* mutex)
{
    static_cast<std::mutex*>(mutex)->lock();
    return 0;
}
int unlock_mutex(void* mutex)
{
    static_cast<std::mutex*>(mutex)->unlock();
    return 0;
}
void free_mutex(void* mutex) { delete static_cast<std::mutex*>(mutex); }

constexpr std::array property_flags{
    std::pair{Property::no_plaintext, SASL_SEC_NOPLAINTEXT},   std::pair{Property::no_active, SASL_SEC_NOACTIVE},
    std::pair{Property::no_dictionary, SASL_SEC_NODICTIONARY}, std::pair{Property::no_anonymous, SASL_SEC_NOANONYMOUS},
    std::pair{Property::mutual_auth, SASL_SEC_MUTUAL_AUTH},    std::pair{Property::forward_secrecy, SASL_SEC_FORWARD_SECRECY}};

/// Names that exist here only because the library wants NUL-terminated text.
const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

std::string end_text(const std::string& address, std::uint16_t port) { return address.empty() ? std::string{} : fmt::format("{};{}", address, port); }

class CyrusConnection {
public:
    static Result<CyrusConnection> make(const CyrusLibrary& library, const CyrusSite& site, const Question& question)
    {
        CyrusConnection made(library);
        const std::string here = end_text(question.server_address, question.server_port),
                          there = end_text(question.client_address, question.client_port);
        if (const int status = library.server_new(site.service.c_str(), site.host.c_str(), or_null(site.realm), or_null(here), or_null(there),
                                                  nullptr, 0, &made.connection_);
            status != SASL_OK)
            return Error{fmt::format("SASL per-connection server initialization: {}", library.error_text(status, nullptr, nullptr)), "4.7.0"};
        return made;
    }
    CyrusConnection(CyrusConnection&& other) noexcept : library_(other.library_), connection_(std::exchange(other.connection_, nullptr)) {}
    ~CyrusConnection()
    {
        if (connection_)
            library_.dispose(&connection_);
    }

    /// No layer of SASL's own under the session: TLS is that. RFC 4954 4 would allow one.
    Result<void> demand(unsigned flags)
    {
        sasl_security_properties_t wanted{};
        wanted.security_flags = flags;
        if (const int status = library_.set_property(connection_, SASL_SEC_PROPS, &wanted); status != SASL_OK)
            return Error{fmt::format("set security properties: {}", library_.error_text(status, nullptr, nullptr)), "4.7.0"};
        return {};
    }
    sasl_conn_t* get() const { return connection_; }

private:
    explicit CyrusConnection(const CyrusLibrary& library) : library_(library) {}
    const CyrusLibrary& library_;
    sasl_conn_t* connection_ = nullptr;
};

unsigned flags_of(Properties wanted)
{
    unsigned flags = 0;
    for (const auto& [property, flag] : property_flags)
        if (wanted.includes({property}))
            flags |= static_cast<unsigned>(flag);
    return flags;
}

/// What Postfix says of a response that is no base64: the library was never asked.
constexpr std::string_view no_base64 = "another step is needed in authentication";

}  // namespace

struct Cyrus::Core {
    Core(CyrusLibrary with, std::vector<CyrusSite> of) : library(with), sites(std::move(of)) {}
    const CyrusLibrary library;
    const std::vector<CyrusSite> sites;
};

struct Cyrus::Talk::Core {
    Core(const CyrusLibrary& with, const CyrusSite& of) : library(with), site(of) {}

    const CyrusLibrary& library;
    const CyrusSite& site;
    std::unique_ptr<CyrusConnection> connection;
    std::string username() const
    {
        const void* name = nullptr;
        return library.get_property(connection->get(), SASL_USERNAME, &name) == SASL_OK && name ? static_cast<const char*>(name) : "";
    }

    Answer answer(int status, const char* said, unsigned length)
    {
        if (status == SASL_CONTINUE)
            return {Answer::Kind::more, base64_encode(std::string_view(said ? said : "", said ? length : 0))};
        if (status == SASL_OK) {
            std::string name = username();
            if (name.empty())
                return {Answer::Kind::later, "cannot look up user name"};
            return {Answer::Kind::accepted, {}, std::move(name)};
        }
        // Whether somebody exists is nobody's business.
        const std::string text = library.error_text(status == SASL_NOUSER ? SASL_BADAUTH : status, nullptr, nullptr);
        const bool later = status == SASL_UNAVAIL || status == SASL_TRYAGAIN || status == SASL_NOMEM || status == SASL_FAIL;
        return {later ? Answer::Kind::later : Answer::Kind::refused, text, username()};
    }
};

Cyrus::Cyrus(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Cyrus::~Cyrus() = default;

Result<std::unique_ptr<Cyrus>> Cyrus::open(std::vector<CyrusSite> sites)
{
    TRY(const CyrusLibrary library, CyrusLibrary::open());
    auto core = std::make_unique<Core>(library, std::move(sites));
    static const std::array callbacks{
        sasl_callback_t{SASL_CB_GETOPT, callback(get_option), nullptr}, sasl_callback_t{SASL_CB_LOG, callback(take_complaint), nullptr},
        sasl_callback_t{SASL_CB_GETCONFPATH, callback(no_folder), nullptr}, sasl_callback_t{SASL_CB_LIST_END, nullptr, nullptr}};
    std::vector<std::string> complaints;
    const CyrusScope scope(core->sites.front(), &complaints);
    library.set_mutex(new_mutex, lock_mutex, unlock_mutex, free_mutex);
    if (const int status = library.server_init(callbacks.data(), "posthorn"); status != SASL_OK)
        return Error{fmt::format("SASL per-process initialization failed: {}{}{}", library.error_text(status, nullptr, nullptr),
                                 complaints.empty() ? "" : ": ", complaints.empty() ? std::string{} : complaints.back()),
                     "4.7.0"};
    return std::unique_ptr<Cyrus>(new Cyrus(std::move(core)));
}

Result<std::vector<Offer>> Cyrus::offers(std::size_t site) const
{
    const CyrusSite& of = core_->sites.at(site);
    std::vector<std::string> complaints;
    const CyrusScope scope(of, &complaints);
    TRY(CyrusConnection connection, CyrusConnection::make(core_->library, of, {}));
    const auto listed = [&](unsigned flags) -> Result<std::vector<std::string>> {
        TRY_VOID(connection.demand(flags));
        const char* names = nullptr;
        unsigned length = 0;
        int count = 0;
        if (core_->library.list_mechanisms(connection.get(), nullptr, "", " ", "", &names, &length, &count) != SASL_OK || !names)
            return std::vector<std::string>{};
        std::vector<std::string> list;
        for (const std::string_view name : split(std::string_view(names, length)))
            list.emplace_back(name);
        return list;
    };
    TRY(const auto all, listed(0));
    std::vector<Offer> made;
    for (const std::string& name : all)
        made.emplace_back(name, Properties{});
    for (const auto& [property, flag] : property_flags) {
        TRY(const auto having, listed(static_cast<unsigned>(flag)));
        for (Offer& offer : made)
            if (std::ranges::find(having, offer.name) != having.end())
                offer.has.add(property);
    }
    if (made.empty())
        return Error{complaints.empty() ? "no SASL authentication mechanisms" : complaints.back(), "4.7.0"};
    return made;
}

std::unique_ptr<Cyrus::Talk> Cyrus::talk(std::size_t site) const
{
    return std::unique_ptr<Talk>(new Talk(std::make_unique<Talk::Core>(core_->library, core_->sites.at(site))));
}

Cyrus::Talk::Talk(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Cyrus::Talk::~Talk()
{
    const CyrusScope scope(core_->site, nullptr);
    core_->connection.reset();
}

CyrusAnswer Cyrus::Talk::begin(const Question& question)
{
    CyrusAnswer result;
    const CyrusScope scope(core_->site, &result.complaints);
    auto made = CyrusConnection::make(core_->library, core_->site, question);
    if (!made) {
        result.answer = {Answer::Kind::later, made.error().text()};
        return result;
    }
    core_->connection = std::make_unique<CyrusConnection>(*std::move(made));
    if (const auto demanded = core_->connection->demand(flags_of(question.wanted)); !demanded) {
        result.answer = {Answer::Kind::later, demanded.error().text()};
        return result;
    }
    std::optional<std::string> initial;
    if (question.initial) {
        initial = *question.initial == "=" ? std::string{} : base64_decode(*question.initial);
        if (!initial) {
            result.answer = {Answer::Kind::refused, std::string(no_base64)};
            return result;
        }
    }
    const char* said = nullptr;
    unsigned length = 0;
    const int status = core_->library.server_start(core_->connection->get(), question.mechanism.c_str(), initial ? initial->data() : nullptr,
                                                   initial ? static_cast<unsigned>(initial->size()) : 0, &said, &length);
    result.answer = core_->answer(status, said, length);
    return result;
}

CyrusAnswer Cyrus::Talk::respond(const std::string& response)
{
    CyrusAnswer result;
    const CyrusScope scope(core_->site, &result.complaints);
    const auto octets = base64_decode(response);
    if (!octets || !core_->connection) {
        result.answer = {Answer::Kind::refused, std::string(no_base64)};
        return result;
    }
    const char* said = nullptr;
    unsigned length = 0;
    const int status = core_->library.server_step(core_->connection->get(), octets->data(), static_cast<unsigned>(octets->size()), &said, &length);
    result.answer = core_->answer(status, said, length);
    return result;
}

}  // namespace posthorn::sasl
