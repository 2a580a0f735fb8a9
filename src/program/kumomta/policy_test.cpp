#include "kumomta/data_file.hpp"
#include "kumomta/lua_box.hpp"
#include "kumomta/translate.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

using namespace posthorn;
using namespace posthorn::kumomta;

namespace {

using Files = std::map<std::string, std::string>;

struct Made {
    Policy policy;
    migrate::Translation result;

    std::string value(std::string_view name) const
    {
        const migrate::Setting* const setting = result.find(name);
        return setting ? setting->value : "(unset)";
    }
    std::string table(std::string_view name) const
    {
        for (const migrate::TableText& one : result.tables)
            if (one.name == name)
                return one.content.substr(one.content.find('\n') + 1);
        return "(none)";
    }
    std::string service(std::string_view name) const
    {
        for (const migrate::ServiceLines& one : result.services)
            if (one.text.starts_with(std::string(name) + " "))
                return one.text.substr(one.text.find('\n') + 1);
        return "(none)";
    }
    std::string verdict(std::string_view statement) const
    {
        for (const migrate::Verdict& one : result.verdicts)
            if (one.statement.find(statement) != one.statement.npos)
                return fmt::format("{}: {}", to_text(one.kind), one.text);
        return "(none)";
    }
};

Machine machine_of(const Files& files)
{
    Machine machine;
    machine.read = [files](const std::string& path) -> Result<std::string> {
        const auto found = files.find(path);
        return found == files.end() ? Result<std::string>(Error{"open " + path + ": No such file or directory"}) : found->second;
    };
    machine.exists = [files](const std::string& path) { return files.contains(path); };
    machine.host_name = "me.test";
    machine.environment = [](const std::string& name) -> std::optional<std::string> {
        return name == "HOST"   ? std::optional<std::string>("mx.test")
               : name == "NETS" ? std::optional<std::string>("192.0.2.0/24, 2001:db8::/32")
                                : std::nullopt;
    };
    return machine;
}

Made made(const std::string& lua, Files files = {})
{
    files["/p/init.lua"] = lua;
    const Machine machine = machine_of(files);
    auto policy = read_policy("/p/init.lua", machine);
    REQUIRE_MESSAGE(policy, (policy ? "" : policy.error().text()));
    auto result = translate(*policy, machine);
    return {*std::move(policy), std::move(result)};
}

std::string trouble(const std::string& lua, Files files = {})
{
    files["/p/init.lua"] = lua;
    const auto policy = read_policy("/p/init.lua", machine_of(files));
    return policy ? "(none)" : policy.error().text();
}

constexpr const char* two_sources =
    "[source.one]\nsource_address = '192.0.2.1'\nehlo_domain = 'one.test'\n[source.two]\nsource_address = '2001:db8::2'\n"
    "[pool.both.one]\nweight = 3\n[pool.both.two]\n[pool.lone.two]\n";
constexpr const char* with_sources = "require('policy-extras.sources'):setup { '/e/sources.toml' }\n";

}  // namespace

TEST_CASE("value: times and rates of KumoMTA's are ours")
{
    const auto seconds = [](std::string text) { return seconds_of(Value::of(std::move(text), {})).value_or(-1); };
    CHECK(seconds("5 minutes") == 300);
    CHECK(seconds("1h 30m") == 5400);
    CHECK(seconds("2min") == 120);
    CHECK(seconds("90") == 90);
    CHECK(seconds("30 days") == 2'592'000);
    CHECK(seconds("soon") == -1);
    CHECK(seconds("5 lightyears") == -1);
    CHECK(seconds("") == -1);
    CHECK(seconds("99999999999 days") == -1);
    CHECK(time_text(5400) == "90m");
    CHECK(time_text(86400) == "1d");
    CHECK(time_text(61) == "61s");
    const auto rate = [](std::string text) { return rate_of(Value::of(std::move(text), {})).value_or("none"); };
    CHECK(rate("100/s") == "100/s");
    CHECK(rate("1,000/hr") == "1000/h");
    CHECK(rate("local:1_000/minute") == "1000/m");
    CHECK(rate("48/day") == "2/h");
    CHECK(rate("10/day") == "1/h");
    CHECK(rate("10") == "none");
    CHECK(rate("0/s") == "none");
}

TEST_CASE("data: a mistake of TOML or JSON is named with its file and line")
{
    CHECK(parse_data("a = 1\nb = \n", "/f.toml").error().text().starts_with("/f.toml, line 2: "));
    CHECK(parse_data("{\n \"a\": 1,\n \"b\" 2}", "/f.json").error().text().starts_with("/f.json, line 3: "));
    CHECK(parse_data("[1]", "/f.json").error().text() == "/f.json, line 1: no table");
    // Characters beyond ASCII have their place in strings and comments; elsewhere toml++ takes them for what cannot be.
    for (const char* character : {"\u00e9", "\u0100", "\u2f00", "\ufebf", "\ufefe"}) {
        CHECK(parse_data(fmt::format("# {0}\nx = \"{0}\" # {0}\n", character), "/f.toml")->word_of("x") == character);
        CHECK(parse_data(fmt::format("x = 1\ny = {}\n", character), "/f.toml").error().text().starts_with("/f.toml, line 2: "));
    }
    const auto read = parse_data("# c\n[x.'a b']\ny = [1, true, 'z']\n", "/f.toml");
    REQUIRE(read);
    const Value* const y = read->find("x")->find("a b")->find("y");
    CHECK(y->shown() == "[1, true, 'z']");
    CHECK(y->place.line == 3);
    CHECK(parse_data("{/* so */ \"a\": {\"b\": 2.5,},}", "/f.json")->find("a")->find("b")->number == 2.5);
    CHECK(!parse_data("a.\x01 = 1\n", "/f.toml"));
    CHECK(!parse_data("a = " + std::string(100, '[') + std::string(100, ']'), "/f.toml"));
}

TEST_CASE("policy: what Lua or a file does wrong is named with file and line, and nothing comes of it")
{
    CHECK(trouble("local a = 1\nlocal b = a.c.d\n").starts_with("/p/init.lua, line 2: attempt to index"));
    CHECK(trouble("local = 1").starts_with("/p/init.lua, line 1: "));
    CHECK(trouble("\nrequire 'mine'", {{"/p/mine.lua", "return nothing.here"}}).starts_with("/p/mine.lua, line 1: attempt to index"));
    CHECK(trouble(with_sources, {{"/e/sources.toml", "[source\n"}}).starts_with("/e/sources.toml, line 1: "));
    CHECK(trouble("kumo.on('init', function()\n error('no') end)") == "/p/init.lua, line 2: no");
}

TEST_CASE("policy: a program that will not end, or wants the machine, is ended")
{
    CHECK(trouble("while true do end") == "/p/init.lua, line 1: too many steps");
    CHECK(trouble("while true do pcall(function() while true do end end) end").find("too many steps") != std::string::npos);
    CHECK(trouble("local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end").find("not enough memory") != std::string::npos);
    CHECK(trouble("local s = ('a'):rep(10000) s:find('.-.-.-.-b')").find("a pattern with too many repetitions") != std::string::npos);
    CHECK(trouble("setmetatable({}, { __gc = function() end })").find("finalizers") != std::string::npos);
    for (const char* gone : {"load('return 1')()", "dofile('/etc/passwd')", "loadfile('/etc/passwd')", "coroutine.create(print)", "debug.getinfo(1)",
                             "string.dump(print)", "table.move({}, 1, 2, 3)", "collectgarbage()"})
        CHECK_MESSAGE(trouble(gone).find("a nil value") != std::string::npos, gone);
    // What reaches for files or the network is recorded, and does nothing.
    const Made quiet =
        made("local f = io.open('/etc/passwd') local t = f:read('a') os.execute('x') kumo.http.build_client({}):get('http://x.test'):send()");
    CHECK(quiet.verdict("io.open").starts_with("not carried over"));
    CHECK(quiet.verdict("os.execute").starts_with("not carried over"));
}

TEST_CASE("policy: modules are those beside it")
{
    const Made found = made("local m = require 'sub.mine' kumo.on('init', function() kumo.start_esmtp_listener { listen = m.listen } end)",
                            {{"/p/sub/mine.lua", "return { listen = '127.0.0.1:2525' }"}});
    CHECK(found.service("127.0.0.1:2525 inet") == "");
    CHECK(made("require '../etc/secret'", {{"/etc/secret.lua", "error('read')"}}).verdict("require").starts_with("not carried over"));
    CHECK(made("require '/etc/secret'", {{"/etc/secret.lua", "error('read')"}}).verdict("require").starts_with("not carried over"));
}

TEST_CASE("listeners: the first one's values are main.cf's, others say what differs")
{
    const Made listening = made(
        "kumo.on('init', function()\n"
        "kumo.start_esmtp_listener { listen = '0:25', hostname = 'a.test', relay_hosts = { '10.0.0.0/8', '::1' }, banner = 'hi', max_message_size = 60000000 }\n"
        "kumo.start_esmtp_listener { listen = '[::]:26', tls_certificate = '/c.pem', tls_private_key = '/k.pem' }\n"
        "kumo.start_http_listener { listen = '127.0.0.1:8000', trusted_hosts = { '127.0.0.1' } }\n"
        "kumo.start_http_listener { listen = '127.0.0.1:8025', use_tls = true } end)",
        {{"/c.pem", ""}, {"/k.pem", ""}});
    CHECK(listening.value("mynetworks") == "10.0.0.0/8, [::1]/128");
    CHECK(listening.value("myhostname") == "a.test");
    CHECK(listening.value("smtpd_banner") == "$myhostname ESMTP hi");
    CHECK(listening.value("message_size_limit") == "60000000");
    CHECK(listening.value("mailbox_size_limit") == "0");
    CHECK(listening.service("0.0.0.0:25 inet") == "");
    const std::string second = listening.service("[::]:26 inet");
    CHECK(second.find("-o { mynetworks = 127.0.0.0/8, [::1]/128 }") != std::string::npos);
    CHECK(second.find("-o myhostname=me.test") != std::string::npos);
    CHECK(second.find("-o smtpd_tls_cert_file=/c.pem") != std::string::npos);
    CHECK(listening.service("127.0.0.1:8000 inet") == "    -o inject_clients=127.0.0.1\n    -o mynetworks=127.0.0.1\n");
    CHECK(listening.service("127.0.0.1:8026 inet") == "");            // 8025 is said to be another's
    CHECK(listening.verdict("use_tls").starts_with("not carried over: inject has no TLS"));
    CHECK(listening.verdict("STARTTLS").starts_with("not carried over"));
}

TEST_CASE("listeners: who may relay is who might before")
{
    const Made relays = made(
        "kumo.on('get_listener_domain', require('policy-extras.listener_domains'):setup { '/e/d.toml' })",
        {{"/e/d.toml",
          "['a.test']\nrelay_to = true\n['*.a.test']\nrelay_to = true\n['w.a.test']\nrelay_to = false\n['*']\nrelay_to = true\n['b.test']\nlog_oob = true\n"}});
    CHECK(relays.value("relay_domains") == "!w.a.test, a.test, .a.test");
    CHECK(relays.value("parent_domain_matches_subdomains").find("relay_domains") == std::string::npos);
    CHECK(relays.value("smtpd_relay_restrictions") == "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination");
    CHECK(relays.verdict("log_oob").starts_with("not carried over"));
    const Made coded = made(
        "kumo.on('get_listener_domain', function(domain) if domain == 'c.test' then return kumo.make_listener_domain { relay_to = true } end end)");
    CHECK(coded.value("relay_domains") == "c.test");
    CHECK(made("kumo.on('get_listener_domain', function() return kumo.make_listener_domain { relay_to = true } end)").value("relay_domains").empty());
}

TEST_CASE("senders: a source is a line, a pool of several a pool, names are made fit")
{
    const Made sending =
        made(with_sources, {{"/e/sources.toml", std::string(two_sources) + "[source.'a b/c']\nsocks5_proxy_server = 'x'\n[source.smtp]\n"}});
    CHECK(sending.service("one") ==
          "    -o smtp_bind_address=192.0.2.1\n    -o smtp_bind_address_enforce=yes\n    -o inet_protocols=ipv4\n    -o smtp_helo_name=one.test\n");
    CHECK(sending.service("two").starts_with("    -o smtp_bind_address6=2001:db8::2\n"));
    CHECK(sending.service("a-b-c") == "");
    CHECK(sending.service("smtp-out") == "");
    CHECK(sending.value("pooled_transports") == "{ both, one=3, two=1 }");
    CHECK(made(with_sources, {{"/e/sources.toml", std::string(two_sources) + "[pool.big.one]\nweight = 4000\n[pool.big.two]\n"}})
              .value("pooled_transports") == "{ both, one=3, two=1 }, { big, one=1000, two=1 }");
    CHECK(sending.verdict("socks5_proxy_server").starts_with("not carried over"));
}

TEST_CASE("senders: the tenant's field chooses the pool, and a tenant of nobody's is refused as the helper does")
{
    const Made files = made(
        std::string(with_sources) +
            "local q = require('policy-extras.queue'):setup { '/e/q.toml' }\nkumo.on('smtp_server_message_received', function(msg) q:apply(msg) end)",
        {{"/e/sources.toml", two_sources},
         {"/e/q.toml",
          "tenant_header = 'X-T'\nremove_tenant_header = true\ndefault_tenant = 'b'\n[tenant.'a.1']\negress_pool = 'lone'\n[tenant.b]\negress_pool = 'both'\n"
          "max_age = '1h'\n[queue.default]\nmax_age = '2h'\n[queue.'in.test']\nrouting_domain = '[10.0.0.1]'\n[queue.'in.test'.b.camp]\negress_pool = 'lone'\n"}});
    CHECK(files.table("tenants") ==
          "/^X-T:\\s*(?-i:a\\.1)\\s*$/ FILTER two:\n/^X-T:\\s*(?-i:b)\\s*$/ FILTER both:\n/^X-T:/ REJECT 5.7.1 There is no such tenant\n");
    CHECK(files.table("tenants_out") == "/^X-T:/ IGNORE\n");
    CHECK(files.value("default_transport") == "both");
    CHECK(files.table("transport") == "in.test both:[10.0.0.1]\n");
    CHECK(files.value("maximal_queue_lifetime") == "2h");
    CHECK(files.value("minimal_backoff_time") == "20m");
    CHECK(files.verdict("max_age = '1h'") == "becomes: retry_schedule_maps: transport:both maximal_queue_lifetime=1h");
    CHECK(files.table("retry_schedule") == "transport:both maximal_queue_lifetime=1h, bounce_queue_lifetime=1h\n");
    CHECK(files.value("retry_schedule_maps") == "texthash:$config_directory/retry_schedule");
    CHECK(files.verdict("egress_pool = 'lone'").find("tenants") == std::string::npos);
}

TEST_CASE("senders: the field that says when mail is to go is ours as well")
{
    const auto verdict = [](std::string name) {
        return made(std::string(with_sources) + "require('policy-extras.queue'):setup { '/e/q.toml' }",
                    {{"/e/sources.toml", two_sources}, {"/e/q.toml", "scheduling_header = '" + name + "'\n"}});
    };
    const Made files = verdict("X-Schedule");
    CHECK(files.value("scheduling_header") == "X-Schedule");
    CHECK(files.verdict("scheduling_header = 'X-Schedule'").starts_with("becomes: scheduling_header: "));
    CHECK(verdict("X Schedule").verdict("scheduling_header = 'X Schedule'") == "not carried over: no name of a field");
}

TEST_CASE("senders: times of a domain and of a tenant with a pool of its own become retry_schedule_maps; what others would get with them is left out")
{
    const Made files = made(
        std::string(with_sources) + "require('policy-extras.queue'):setup { '/e/q.toml' }",
        {{"/e/sources.toml", two_sources},
         {"/e/q.toml",
          "tenant_header = 'X-T'\n[tenant.a]\negress_pool = 'lone'\nmax_age = '3h'\n[tenant.b]\negress_pool = 'both'\nmax_age = '4h'\n"
          "[tenant.c]\negress_pool = 'both'\nmax_age = '5h'\n[tenant.d]\nmax_age = '6h'\n[queue.default]\nmax_age = '2h'\nretry_interval = '1m'\n"
          "[queue.'In.test']\nmax_age = '7h'\nretry_interval = '1m'\nmax_retry_interval = '10m'\n[queue.'*.below.test']\nretry_interval = '5m'\n"
          "[queue.'In.test'.a]\nmax_age = '8h'\n[queue.'odd name']\nmax_age = '9h'\n[queue.'wrong.test']\nmax_age = 'soon'\n"}});
    CHECK(files.table("retry_schedule") ==
          "in.test maximal_queue_lifetime=7h, bounce_queue_lifetime=7h, maximal_backoff_time=10m\n"
          ".below.test minimal_backoff_time=5m\ntransport:two maximal_queue_lifetime=3h, bounce_queue_lifetime=3h\n");
    CHECK(files.value("maximal_queue_lifetime") == "2h");
    CHECK(files.verdict("max_age = '4h'") == "not carried over: others send by its pool: they would have these times, too");
    CHECK(files.verdict("max_age = '5h'") == "not carried over: others send by its pool: they would have these times, too");
    CHECK(files.verdict("max_age = '6h'") == "not carried over: it has no pool that an entry of retry_schedule_maps could name");
    CHECK(files.verdict("max_age = '8h'") == "not carried over: times by domain and tenant together: the domain's, else the tenant's are taken");
    CHECK(files.verdict("max_age = 'soon'") == "not carried over: no time for maximal_queue_lifetime");
}

TEST_CASE("calls: the rules of the bounce classifier become a table before the shipped one")
{
    const Made classes =
        made("kumo.on('init', function() kumo.configure_bounce_classifier { files = { '/e/c.toml', '/e/none.toml', '/e/other.toml' } } end)",
             {{"/e/c.toml", "[rules]\nInvalidRecipient = ['^5\\d\\d 5\\.1\\.1', 'no/such user']\nSpamBlock = ['Blocked']\n'odd class' = ['x']\n"},
              {"/e/other.toml", "[else]\n"}});
    CHECK(classes.table("bounce_classes") ==
          "/(?-i:^5\\d\\d 5\\.1\\.1)/ InvalidRecipient\n/(?-i:no\\/such user)/ InvalidRecipient\n/(?-i:Blocked)/ SpamBlock\n");
    CHECK(classes.value("bounce_classification_maps") == "pcre:$config_directory/bounce_classes, shipped");
    CHECK(classes.verdict("/e/c.toml").starts_with("becomes: bounce_classification_maps"));
    CHECK(classes.verdict("/e/none.toml") == "not carried over: no such file");
    CHECK(classes.verdict("/e/other.toml") == "not carried over: no table \"rules\" in it");
    CHECK(classes.verdict("odd class") == "not carried over: no rule of a table");
    const Made none = made("kumo.on('init', function() kumo.configure_bounce_classifier { files = {} } end)", {});
    CHECK(none.value("bounce_classification_maps") == "(unset)");
}

TEST_CASE("senders: a time that is none is named, and KumoMTA's default stands")
{
    const Made odd = made("require('policy-extras.queue'):setup { '/e/q.toml' }",
                          {{"/e/q.toml", "[queue.default]\nretry_interval = 'soon'\nmax_retry_interval = '1 minute'\n"}});
    CHECK(odd.value("minimal_backoff_time") == "20m");
    CHECK(odd.value("maximal_backoff_time") == "$minimal_backoff_time");
    CHECK(odd.verdict("retry_interval = 'soon'") == "not carried over: no time for minimal_backoff_time");
}

TEST_CASE("senders: handlers are asked for every name that stands in the policy")
{
    const Made coded = made(
        "local TENANTS = { gold = { egress_pool = 'p1' }, ['two words'] = { max_age = '5 minutes' } }\n"
        "kumo.on('get_egress_pool', function(name) if name == 'p1' then return kumo.make_egress_pool { name = name, entries = { { name = 's1' } } } end end)\n"
        "kumo.on('get_egress_source', function(name) return kumo.make_egress_source { name = name, source_address = name == 's1' and '192.0.2.9' or nil } end)\n"
        "kumo.on('get_queue_config', function(domain, tenant)\n local params = { max_age = '1 day', retry_interval = 60 }\n"
        " for k, v in pairs(TENANTS[tenant] or {}) do params[k] = v end\n"
        " if domain == 'slow.test' then params.retry_interval = '1h' end\n return kumo.make_queue_config(params) end)\n"
        "kumo.on('smtp_server_message_received', function(msg)\n local t = msg:get_first_named_header_value 'X-Tenant'\n if t then msg:set_meta('tenant', t) end end)");
    CHECK(coded.service("s1").starts_with("    -o smtp_bind_address=192.0.2.9\n"));
    CHECK(coded.value("maximal_queue_lifetime") == "1d");
    CHECK(coded.value("minimal_backoff_time") == "1m");
    CHECK(coded.table("tenants") == "/^X-Tenant:\\s*(?-i:gold)\\s*$/ FILTER s1:\n/^X-Tenant:\\s*(?-i:two\\ words)\\s*$/ DUNNO\n");
    CHECK(coded.verdict("retry_interval = '1h'") == "becomes: retry_schedule_maps: slow.test minimal_backoff_time=1h");
    CHECK(coded.value("smtp_header_checks") == "(unset)");
    const Made named = made(
        std::string(with_sources) +
            "kumo.on('get_queue_config', function(d, tenant) return kumo.make_queue_config { egress_pool = tenant } end)\n"
            "kumo.on('smtp_server_message_received', function(msg) msg:set_meta('tenant', msg:get_first_named_header_value 'X-T' or 'lone') end)",
        {{"/e/sources.toml", two_sources}});
    CHECK(named.table("tenants") == "/^X-T:\\s*(?-i:both)\\s*$/ FILTER both:\n/^X-T:\\s*(?-i:lone)\\s*$/ FILTER two:\n");
    CHECK(named.value("default_transport") == "two");
    CHECK(named.verdict("egress_pool = 'kumo'") == "(none)");      // a word that is answered as any would be
    const Made sink = made("kumo.on('smtp_server_message_received', function(msg) msg:set_meta('queue', 'null') msg:import_x_headers() end)");
    CHECK(sink.value("default_transport") == "discard:");
    CHECK(sink.verdict("kumo.on('smtp_server_message_received')").ends_with("; it does besides: set_meta queue, import_x_headers"));
    const Made broken = made("kumo.on('get_queue_config', function(domain) return kumo.nothing + nobody.here end)");
    CHECK(broken.verdict("kumo.on('get_queue_config')").starts_with("not carried over: when it was asked: /p/init.lua, line 1: "));
}

TEST_CASE("policy: the environment is asked, and what is not set is said, also where the policy ends of it")
{
    const Made asked = made(
        "kumo.on('init', function() kumo.start_esmtp_listener { listen = '0.0.0.0:' .. (os.getenv('PORT') or '25'), hostname = os.getenv 'HOST',\n"
        " relay_hosts = kumo.string.split(os.getenv 'NETS', ', ') } end)");
    CHECK(asked.value("myhostname") == "mx.test");
    CHECK(asked.value("mynetworks") == "192.0.2.0/24, [2001:db8::]/32");
    CHECK(asked.verdict("os.getenv 'HOST'") == "nothing needed: what the environment has now: it is not asked again");
    CHECK(asked.verdict("os.getenv 'PORT'").starts_with("not carried over: it is not set where this runs: "));
    CHECK(trouble("kumo.on('init', os.getenv)").find("bad argument #1") != std::string::npos);
    CHECK(made("kumo.on('get_egress_pool', os.getenv)").policy.environment.front().place.file == "/p/init.lua");
    CHECK(trouble("local slot = 1\nlocal name = 'a' .. os.getenv 'SLOT'") ==
          "/p/init.lua, line 2: attempt to concatenate a nil value (not set in the environment that this has: SLOT; run it with KumoMTA's)");
    CHECK(made("x = kumo.string.split('a,b', ',')[2]\nkumo.on('init', function() kumo.start_esmtp_listener { listen = '0:25', hostname = x } end)")
              .value("myhostname") == "b");
}

TEST_CASE("policy: what a policy asked of the machine is named where it ends of it")
{
    CHECK(trouble("local out = io.popen('getent hosts x'):read('*l')\nlocal ip = string.match(out, '%d+')") ==
          "/p/init.lua, line 2: bad argument #1 to 'match' (string expected, got table) (not answered here: io.popen)");
    CHECK(trouble("local ips = kumo.dns.lookup_addr('x')\nlocal ip = string.match(ips[1], '%d+')")
              .ends_with("(string expected, got nil) (not answered here: dns.lookup_addr)"));
    const Made odd =
        made("kumo.on('init', function() kumo.start_esmtp_listener { listen = '0:25', max_message_size = '50MB', max_recipients_per_message = 7 }\n"
             " kumo.set_spoolin_threads(8) kumo.set_httpinject_threads('8') end)\n"
             "local said = kumo.serde.json_parse(kumo.http.build_client({}):get('http://x.test'):send():text())\n"
             "kumo.on('http_message_generated', function(msg) print('a' .. nobody) end)");
    CHECK(odd.value("message_size_limit") == "20971520");
    CHECK(odd.verdict("max_message_size = '50MB'") == "not carried over: no value");
    CHECK(odd.value("smtpd_recipient_limit") == "7");
    CHECK(odd.verdict("set_spoolin_threads").starts_with("nothing needed"));
    CHECK(odd.verdict("set_httpinject_threads").starts_with("nothing needed"));
    CHECK(odd.policy.missing.empty());
    CHECK(odd.verdict("kumo.on('http_message_generated')") ==
          "not carried over: when it was asked: line 4: attempt to concatenate a nil value (global 'nobody')");
}

TEST_CASE("senders: a smart host that a handler names for all is the default's next hop, with the port that its shaping says")
{
    const std::string smart =
        "kumo.on('smtp_server_message_received', function(msg) if msg:check_fix_conformance('', '') then kumo.reject(552, 'x') end\n"
        " msg:set_meta('routing_domain', 'smart.test') end)\n";
    const std::string setup = std::string(with_sources) +
                              "require('policy-extras.queue'):setup { '/e/q.toml' }\n"
                              "kumo.on('get_egress_path_config', require('policy-extras.shaping'):setup { '/e/s.toml' })\n";
    const Files files = {
        {"/e/sources.toml", two_sources},
        {"/e/q.toml",
         "[queue.default]\negress_pool = 'lone'\n[queue.'in.test']\negress_pool = 'both'\n[queue.'own.test']\nrouting_domain = '[10.0.0.1]'\n"},
        {"/e/s.toml", "['smart.test']\nsmtp_port = 587\n['else.test']\nsmtp_port = 26\n"}};
    const Made all = made(setup + smart, files);
    CHECK(all.value("default_transport") == "two:smart.test:587");
    CHECK(all.table("transport") == "in.test both:smart.test:587\nown.test two:[10.0.0.1]\n");
    CHECK(all.verdict("kumo.on('smtp_server_message_received')").ends_with("; it does besides: check_fix_conformance"));
    CHECK(all.verdict("routing_domain = 'smart.test'").starts_with("becomes: default_transport"));
    CHECK(all.verdict("smtp_port = 587").starts_with("becomes: default_transport"));
    CHECK(all.verdict("smtp_port = 26").starts_with("not carried over"));
    const Made none = made(setup, files);
    CHECK(none.value("default_transport") == "two");
    CHECK(none.table("transport") == "in.test both:\nown.test two:[10.0.0.1]\nsmart.test two:smart.test:587\nelse.test two:else.test:26\n");
    CHECK(none.verdict("smtp_port = 26") == "becomes: transport_maps: else.test two:else.test:26");
    const Made both =
        made(setup + smart + "kumo.on('http_message_generated', function(msg) msg:set_meta('routing_domain', 'smart.test') end)", files);
    CHECK(both.verdict("kumo.on('http_message_generated')").find("besides") == std::string::npos);
    // A handler that does so for some, or for what comes by HTTP alone, decides nothing for all.
    const Made some = made("kumo.on('smtp_server_message_received', function(msg) if msg:get_first_named_header_value 'X-S' then "
                           "msg:set_meta('routing_domain', 'smart.test') end end)");
    CHECK(some.value("default_transport").find("smart") == std::string::npos);
    CHECK(some.verdict("kumo.on('smtp_server_message_received')").ends_with("; it does besides: set_meta routing_domain"));
    const Made inner = made("kumo.on('smtp_server_message_received', function(msg) if msg:recipient().domain ~= 'inner.test' then "
                            "msg:set_meta('routing_domain', 'smart.test') msg:set_meta('queue', 'null') end end)");
    CHECK(inner.value("default_transport") == "(unset)");
    CHECK(inner.verdict("kumo.on('smtp_server_message_received')").ends_with("; it does besides: set_meta queue, set_meta routing_domain"));
    const Made ports = made("kumo.on('get_egress_path_config', function() return kumo.make_egress_path { smtp_port = 2525 } end)");
    CHECK(ports.value("smtp_tcp_port") == "2525");
    CHECK(ports.verdict("smtp_port = 2525") == "becomes: smtp_tcp_port = 2525");
}

TEST_CASE("senders: a handler of what comes by HTTP throws nothing away of what comes by SMTP")
{
    const std::string sink = "kumo.on('http_message_generated', function(msg) msg:set_meta('queue', 'null') end)\n";
    const Made both = made(
        "kumo.on('init', function() kumo.start_esmtp_listener { listen = '0:25' } kumo.start_http_listener { listen = '127.0.0.1:8000' } end)\n" +
        sink);
    CHECK(both.value("default_transport") == "(unset)");
    CHECK(both.verdict("kumo.on('http_message_generated')").ends_with("; it does besides: set_meta queue"));
    const Made http = made("kumo.on('init', function() kumo.start_http_listener { listen = '127.0.0.1:8000' } end)\n" + sink);
    CHECK(http.value("default_transport") == "discard:");
}

TEST_CASE("policy: what goes with what is not carried over says so")
{
    const Made https =
        made("kumo.on('init', function() kumo.start_http_listener { listen = '0:8001', use_tls = true, trusted_hosts = { '127.0.0.1' } } end)\n"
             "local r = require 'policy-extras.rspamd'\nr:setup { base_url = 'http://127.0.0.1:11333' }\n"
             "require('policy-extras.dkim_sign'):setup { '/e/d.toml' }",
             {{"/e/d.toml", "[domain.'a.test']\nselector = 's'\n"}});
    CHECK(https.verdict("trusted_hosts") == "not carried over: inject_clients and mynetworks of such a line");
    CHECK(https.verdict("require 'policy-extras.rspamd'") ==
          "not carried over: Rspamd as a Milter: smtpd_milters with the address of its proxy (inet:127.0.0.1:11332)");
    CHECK(https.verdict("selector = 's'") == "not carried over: a signature that is not made");
}

TEST_CASE("shaping: domains, providers and the default become rules, later files over earlier ones")
{
    const std::string setup =
        std::string(with_sources) + "kumo.on('get_egress_path_config', require('policy-extras.shaping'):setup { '/e/a.toml', '/e/b.toml' })";
    const Files files = {
        {"/e/sources.toml", two_sources},
        {"/opt/kumomta/share/policy-extras/shaping.toml",
         "[default]\nconnection_limit = 10\nmax_message_rate = '100/s'\nidle_timeout = '60s'\n['x.test']\nconnection_limit = 1\n"},
        {"/e/a.toml",
         "['x.test']\nmax_deliveries_per_connection = 7\n['y.test']\nconnection_limit = 9\nmax_connection_rate = '5/min'\n['y.test'.sources.two]\nconnection_limit = 2\n"
         "[provider.'Big One']\nmatch = [{MXSuffix='.big.test'}, {HostName='mx.test'}, {DomainSuffix='.d.test'}]\nprovider_connection_limit = 4\nconnection_limit = 3\n"},
        {"/e/b.toml",
         "['y.test']\nreplace_base = true\nenable_tls = 'Required'\n['z.test']\nenable_tls = 'Disabled'\nmax_ready = 5\nsmtp_port = 26\n"}};
    const Made shaped = made(setup, files);
    CHECK(shaped.table("peer_rules") == "domain /^x\\.test$/ sessions=1 rate=100/s mails-per-session=7\n"
                                        "domain /^y\\.test$/ sessions=10 rate=100/s\n"
                                        "domain /^z\\.test$/ sessions=10 rate=100/s\n"
                                        "domain /\\.d\\.test$/ site=big-one sessions=4 rate=100/s\n"
                                        "host /\\.big\\.test$|^mx\\.test$/ site=big-one sessions=4 rate=100/s\n"
                                        "host /./ rate=100/s\n");
    CHECK(shaped.value("default_destination_concurrency_limit") == "10");
    CHECK(shaped.value("smtp_connection_cache_time_limit") == "1m");
    CHECK(shaped.table("tls_policies") == "y.test encrypt\nz.test none\nz.test:26 none\n");
    CHECK(shaped.value("smtp_peer_rules") == "$config_directory/peer_rules, shipped");
    CHECK(shaped.verdict("smtp_port") == "becomes: transport_maps: z.test smtp:z.test:26");
    Files without = files;
    without.erase("/opt/kumomta/share/policy-extras/shaping.toml");
    without["/e/b.toml"] = "[default]\nmax_message_rate = '7/s'\n";
    const Made replaced = made(setup, without);
    CHECK(replaced.value("smtp_peer_rules") == "$config_directory/peer_rules, shipped, $config_directory/peer_rules_rest");
    CHECK(replaced.table("peer_rules_rest") == "host /./ rate=7/s\n");
    CHECK(replaced.table("peer_rules_two").find("domain /^y\\.test$/ sessions=2 rate=7/s connects=5/m\n") != std::string::npos);
    CHECK(replaced.service("two").find("-o { smtp_peer_rules = $config_directory/peer_rules_two, shipped, $config_directory/peer_rules_two_rest }") !=
          std::string::npos);
    CHECK(replaced.service("one").find("smtp_peer_rules") == std::string::npos);
    CHECK(replaced.verdict("/opt/kumomta/share/policy-extras/shaping.toml").starts_with("not carried over: it is not on this machine"));
}

TEST_CASE("shaping: more rules than a file may have are not half-applied")
{
    std::string file;
    for (int i = 0; i < 1100; ++i)
        file += fmt::format("['d{}.test']\nconnection_limit = 3\n", i);
    const Made shaped = made("kumo.on('get_egress_path_config', require('policy-extras.shaping'):setup { '/e/a.toml' })", {{"/e/a.toml", file}});
    CHECK(shaped.value("smtp_peer_rules") == "(unset)");
    CHECK(shaped.verdict("peer_rules").starts_with("not carried over: too many rules"));
}

TEST_CASE("shaping: an automation becomes a rule for replies that try again, or is named")
{
    const Made shaped = made(
        "kumo.on('get_egress_path_config', require('policy-extras.shaping'):setup { '/e/a.toml' })",
        {{"/e/a.toml",
          "[[default.automation]]\nregex = ['wait \\d+ s', 'a/b']\naction = [{SetConfig={name='max_message_rate', value='1/m'}}, {SetConfig={name='connection_limit', value=1}}]\n"
          "duration = '1h'\n[[default.automation]]\nregex = 'stop'\naction = 'Suspend'\nduration = '2 hours'\n[[default.automation]]\nregex = 'often'\naction = 'Suspend'\n"
          "trigger = {Threshold='10/hr'}\nduration = '2 hours'\n[['t.test'.automation]]\nregex = 'tenant'\naction = 'SuspendTenant'\nduration = '1h'\n"
          "[['t.test'.automation]]\nregex = '(open'\naction = 'Suspend'\nduration = '1h'\n[['t.test'.automation]]\nregex = '250 2\\.0\\.0 Ok'\naction = 'Suspend'\nduration = '1h'\n"}});
    CHECK(shaped.table("peer_rules") == "reply /^(?=4).*(?:wait \\d+ s)/i slower fewer-sessions\n"
                                        "reply /^(?=4).*(?:a\\/b)/i slower fewer-sessions\n"
                                        "reply /^(?=4).*(?:stop)/i suspend=2h\n"
                                        "reply /^(?=4).*(?:often)/i slower\n");
    CHECK(shaped.verdict("automation 'tenant'").starts_with("not carried over: a site is suspended for all"));
    CHECK(shaped.verdict("automation '(open'").starts_with("not carried over: no expression"));
    CHECK(shaped.verdict("automation '250").starts_with("not carried over: rules look at replies of 400 and above"));
    const Made own = made(
        "kumo.on('get_egress_path_config', require('policy-extras.shaping'):setup { '/e/a.toml' })",
        {{"/e/a.toml",
          "['t.test']\nconnection_limit = 2\n[['t.test'.automation]]\nregex = 'T'\naction = 'Suspend'\nduration = '1h'\n[provider.P]\nmatch = [{MXSuffix='.p.test'}]\n"
          "[[provider.P.automation]]\nregex = 'P'\naction = 'Suspend'\nduration = '1h'\n"}});
    CHECK(
        own.table("peer_rules") ==
        "domain /^t\\.test$/ site=t-test sessions=2\nhost /\\.p\\.test$/ site=p\nreply@p /^(?=4).*(?:P)/i suspend=1h\nreply@t-test /^(?=4).*(?:T)/i suspend=1h\n");
}

TEST_CASE("signing: authors, keys and what is one for all")
{
    const Made signs = made(
        "local s = require('policy-extras.dkim_sign'):setup { '/e/k.toml' }\nkumo.on('smtp_server_message_received', function(msg) s(msg) end)",
        {{"/e/k.toml",
          "[base]\nselector = 'b'\nheaders = ['From', 'To']\nadditional_signatures = ['esp', 'rest']\n[domain.'a.test']\nfilename = '/k/a'\n[domain.'gone.test']\n"
          "[signature.esp]\npolicy = 'Always'\ndomain = 'esp.test'\nselector = 'e'\nfilename = '/k/e'\n[signature.rest]\npolicy = 'OnlyIfMissingDomainBlock'\n"
          "domain = 'rest.test'\nfilename = '/k/r'\n"},
         {"/k/a", ""},
         {"/k/e", ""},
         {"/k/r", ""}});
    CHECK(signs.table("dkim_authors") == "/@a\\.test$/ b, esp.test:e\n/@gone\\.test$/ esp.test:e, rest.test:b\n/./ esp.test:e, rest.test:b\n");
    CHECK(signs.table("dkim_keys") == "b._domainkey.a.test /k/a\nb._domainkey.rest.test /k/r\ne._domainkey.esp.test /k/e\n");
    CHECK(signs.value("dkim_sign_fields") == "From, To");
    CHECK(signs.value("dkim_oversign_fields").empty());
    CHECK(signs.verdict("key '/opt/kumomta/etc/dkim/gone.test/b.key'").starts_with("not carried over: there is no such file"));
    const Made coded =
        made("kumo.on('smtp_server_message_received', function(msg)\n"
             " local domain = msg:from_header().domain\n if domain == 'a.test' then\n"
             "  msg:dkim_sign(kumo.dkim.rsa_sha256_signer { domain = domain, selector = 'x', headers = { 'From' }, key = '/k/' .. domain }) end\n"
             " msg:dkim_sign(kumo.dkim.ed25519_signer { domain = 'esp.test', selector = 'y', key = '/k/e' }) end)",
             {{"/k/a.test", ""}, {"/k/e", ""}});
    CHECK(coded.table("dkim_authors") == "/@a\\.test$/ x, esp.test:y\n/./ esp.test:y\n");
    const Made any =
        made("-- d.test, e.test\nkumo.on('smtp_server_message_received', function(msg) local d = msg:from_header().domain\n"
             " msg:dkim_sign(kumo.dkim.rsa_sha256_signer { domain = d, selector = 'x', key = '/k/' .. d })\n"
             " if d == 'f.test' then msg:dkim_sign(kumo.dkim.rsa_sha256_signer { domain = d, selector = 'z', key = '/gone' }) end\n"
             " if d == 'e.test' then msg:dkim_sign(kumo.dkim.rsa_sha256_signer { domain = 'esp.test', selector = 'z', key = '/k/d.test' }) end end)",
             {{"/k/d.test", ""}});
    CHECK(any.table("dkim_keys") == "x._domainkey.d.test /k/d.test\n");
    CHECK(any.verdict("kumo.on('smtp_server_message_received')")
              .find("dkim_sign for every author: {domain = 'AUTHOR', key = '/k/AUTHOR', selector = 'x'}") != std::string::npos);
    CHECK(any.verdict("kumo.on('smtp_server_message_received')").ends_with(", dkim_sign as esp.test for e.test"));
    CHECK(any.verdict("key '/gone'").starts_with("not carried over: there is no such file"));
}

TEST_CASE("records: logs and hooks")
{
    const Made logs = made(
        "require('policy-extras.log_hooks'):new { name = 'w', constructor = function()\n local c = {} local client = kumo.http.build_client {}\n"
        " function c:send(message) local r = client:post('https://h.test/log'):header('A', 'b'):body(message:get_data()):send()\n"
        "  if r:status_is_success() then return 'ok' end kumo.reject(500, 'no') end\n return c end }\n"
        "kumo.on('init', function() kumo.define_spool { name = 'data', path = '/var/spool/k/data' }\n"
        "kumo.configure_local_logs { log_dir = '/srv/log', headers = { 'Subject', 'X-A' }, per_record = { Any = { enable = false }, Bounce = { enable = true } } } end)");
    CHECK(logs.value("record_hook_url") == "https://h.test/log");
    CHECK(logs.value("record_file") == "/srv/log/posthorn-records");
    CHECK(logs.value("maillog_file_prefixes") == "/var, /dev/stdout, /srv/log");
    CHECK(logs.value("record_headers") == "Subject, X-A");
    CHECK(logs.value("record_types") == "Bounce");
    CHECK(logs.value("queue_directory") == "/var/spool/k/posthorn");
}

TEST_CASE("translate: no option is without a verdict")
{
    const Made odd = made(
        "kumo.on('init', function() kumo.start_esmtp_listener { listen = '0:25', strange = 1 } kumo.define_spool { name = 'meta', other = {} } kumo.unheard_of { a = 1 } end)\nkumo.on('never.heard', function() end)");
    CHECK(odd.verdict("strange = 1") == "not carried over: nothing here is known to do the same");
    CHECK(odd.verdict("other =") == "not carried over: nothing here is known to do the same");
    CHECK(odd.verdict("unheard_of") == "not carried over: nothing here is known to do the same");
    CHECK(odd.verdict("never.heard").starts_with("not carried over: code of the site's"));
}
