#include "kumomta/lua_box.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <lua.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>

// Lua's errors are long jumps: a function here that may raise one has nothing to destroy, and one that has does not raise. What goes between is in Inside.

namespace posthorn::kumomta {

using Clock = std::chrono::steady_clock;

struct LuaBox::Inside {
    Doors doors;
    BoxLimits limits;
    lua_State* lua = nullptr;
    std::size_t memory = 0;
    long long steps = 0;
    Clock::time_point end;
    const char* spent = nullptr;  // the limit that was reached
    std::string trouble;  // of a door
    Value handed;  // by a door, for Lua
    std::vector<std::string> sources;  // chunk "=N" is of sources[N]
    std::string module_text;
    std::string variable;  // of the environment
    bool has_variable = false;

    static Inside& of(lua_State* lua) { return **static_cast<Inside**>(lua_getextraspace(lua)); }
    static void* allocate(void* self, void* block, std::size_t old, std::size_t size);
    static void count(lua_State* lua, lua_Debug* about);
    static int loaded(lua_State* lua);
    static int called(lua_State* lua);
    static int record(lua_State* lua);
    static int data(lua_State* lua);
    static int module(lua_State* lua);
    static int environment(lua_State* lua);
    bool ask_environment();
    static int protect(lua_State* lua);
    static int match(lua_State* lua);
    static int set_metatable(lua_State* lua);
    bool record_call();
    bool fetch(int kind);
    bool pattern_costs(std::size_t subject, const char* pattern, std::size_t size);
    Place place() const;
    Error error();
};

namespace {

constexpr int hook_steps = 1000;

struct Asked {
    const char* function = nullptr;
    const std::vector<Value>* arguments = nullptr;
    Value* result = nullptr;
    bool failed = false;
};

Value value_at(lua_State* lua, int index, int level, std::size_t& count);

Value table_at(lua_State* lua, int index, int level, std::size_t& count)
{
    Value value;
    value.kind = Value::Kind::table;
    const auto length = static_cast<std::size_t>(lua_rawlen(lua, index));
    std::size_t entries = 0;
    std::vector<Value> items(std::min(length, value_count));
    bool list = length > 0;
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
        if (++entries > value_count || count > value_count)
            continue;
        Value one = value_at(lua, lua_gettop(lua), level + 1, count);
        if (lua_type(lua, -2) == LUA_TSTRING) {
            std::size_t size = 0;
            const char* const text = lua_tolstring(lua, -2, &size);
            value.entries.push_back({std::string(text, size), std::move(one)});
        } else if (lua_isinteger(lua, -2)) {
            const lua_Integer at = lua_tointeger(lua, -2);
            if (at >= 1 && static_cast<std::size_t>(at) <= items.size())
                items[static_cast<std::size_t>(at - 1)] = std::move(one);
            else
                list = false;
        }
    }
    if (list && value.entries.empty()) {
        value.kind = Value::Kind::list;
        value.items = std::move(items);
    }
    std::ranges::sort(value.entries, {}, &Entry::name);  // tables of Lua have no order
    return value;
}

/// Raises nothing.
Value value_at(lua_State* lua, int index, int level, std::size_t& count)
{
    Value value;
    if (++count > value_count || level > value_levels || lua_checkstack(lua, 4) == 0)
        return value;
    switch (lua_type(lua, index)) {
    case LUA_TBOOLEAN:
        value.kind = Value::Kind::boolean;
        value.boolean = lua_toboolean(lua, index) != 0;
        return value;
    case LUA_TNUMBER:
        value.kind = Value::Kind::number;
        value.number = lua_tonumber(lua, index);
        return value;
    case LUA_TSTRING: {
        std::size_t size = 0;
        const char* const text = lua_tolstring(lua, index, &size);
        return Value::of(std::string(text, size), {});
    }
    case LUA_TTABLE:
        if (lua_getmetatable(lua, index) != 0) {
            // A thing of the prelude's has its name in its metatable.
            const bool named = lua_rawgeti(lua, -1, 1) == LUA_TSTRING;
            std::size_t size = 0;
            if (const char* const text = named ? lua_tolstring(lua, -1, &size) : nullptr) {
                value.kind = Value::Kind::unknown;
                value.text.assign(text, size);
            }
            lua_pop(lua, 2);
            if (named)
                return value;
        }
        return table_at(lua, index, level, count);
    case LUA_TFUNCTION:
        value.kind = Value::Kind::unknown;
        value.text = "a function";
        return value;
    default: return value;
    }
}

void placed(Value& value, const Place& place)
{
    value.place = place;
    for (Value& item : value.items)
        placed(item, place);
    for (Entry& entry : value.entries)
        placed(entry.value, place);
}

/// May raise; has nothing to destroy.
void push(lua_State* lua, const Value& value)
{
    luaL_checkstack(lua, 4, "a value");
    switch (value.kind) {
    case Value::Kind::boolean: lua_pushboolean(lua, value.boolean ? 1 : 0); break;
    case Value::Kind::number:
        if (std::abs(value.number) < 1e15 && value.number == std::floor(value.number))
            lua_pushinteger(lua, static_cast<lua_Integer>(value.number));
        else
            lua_pushnumber(lua, value.number);
        break;
    case Value::Kind::text: lua_pushlstring(lua, value.text.data(), value.text.size()); break;
    case Value::Kind::list:
        lua_newtable(lua);
        for (std::size_t i = 0; i < value.items.size(); ++i) {
            push(lua, value.items[i]);
            lua_rawseti(lua, -2, static_cast<lua_Integer>(i + 1));
        }
        break;
    case Value::Kind::table:
        lua_newtable(lua);
        for (const Entry& entry : value.entries) {
            lua_pushlstring(lua, entry.name.data(), entry.name.size());
            push(lua, entry.value);
            lua_rawset(lua, -3);
        }
        break;
    default: lua_pushnil(lua);
    }
}

void take_out(lua_State* lua, const char* library, std::initializer_list<const char*> names)
{
    lua_getglobal(lua, library);
    for (const char* name : names) {
        lua_pushnil(lua);
        lua_setfield(lua, -2, name);
    }
    lua_pop(lua, 1);
}

}  // namespace

void* LuaBox::Inside::allocate(void* self, void* block, std::size_t old, std::size_t size)
{
    Inside& inside = *static_cast<Inside*>(self);
    const std::size_t had = block ? old : 0;
    if (size == 0) {
        std::free(block);
        inside.memory -= had;
        return nullptr;
    }
    if (size > had && (size > inside.limits.allocation || inside.memory - had + size > inside.limits.memory))
        return nullptr;
    void* const made = std::realloc(block, size);
    if (made)
        inside.memory = inside.memory - had + size;
    return made;
}

void LuaBox::Inside::count(lua_State* lua, lua_Debug* about)
{
    static_cast<void>(about);
    Inside& inside = of(lua);
    inside.steps += hook_steps;
    if (!inside.spent && inside.steps > inside.limits.steps)
        inside.spent = "too many steps";
    if (!inside.spent && Clock::now() > inside.end)
        inside.spent = "it takes too long";
    if (inside.spent) {
        luaL_where(lua, 0);
        lua_pushstring(lua, inside.spent);
        lua_concat(lua, 2);
        lua_error(lua);
    }
}

/// pcall(3): but for a limit that was reached, which ends all.
int LuaBox::Inside::protect(lua_State* lua)
{
    luaL_checkany(lua, 1);
    lua_pushboolean(lua, 1);
    lua_insert(lua, 1);
    const int status = lua_pcall(lua, lua_gettop(lua) - 2, LUA_MULTRET, 0);
#ifndef POSTHORN_PLANT_BUG_kumomta_policy  // an end that can be caught (scripts/fuzz-planted)
    if (of(lua).spent)
        return luaL_error(lua, "%s", of(lua).spent);
#endif
    if (status == LUA_OK)
        return lua_gettop(lua);
    lua_pushboolean(lua, 0);
    lua_pushvalue(lua, -2);
    return 2;
}

/// Each repetition may be tried from each octet: their number is the exponent.
bool LuaBox::Inside::pattern_costs(std::size_t subject, const char* pattern, std::size_t size)
{
    const std::string_view text(pattern, size);
    auto tries = std::ranges::count_if(text, [](char c) { return c == '*' || c == '+' || c == '-' || c == '?'; });
    tries += text.find("%b") == text.npos ? 0 : 2;
    if (!text.starts_with('^'))
        ++tries;
    return std::pow(static_cast<double>(subject) + 1, static_cast<double>(std::min<long>(tries, 20))) > limits.pattern;
}

/// string.find, match, gmatch, gsub, where that can end.
int LuaBox::Inside::match(lua_State* lua)
{
    std::size_t subject = 0, size = 0;
    luaL_checklstring(lua, 1, &subject);
    const char* const pattern = luaL_checklstring(lua, 2, &size);
    if (of(lua).pattern_costs(subject, pattern, size))
        return luaL_error(lua, "a pattern with too many repetitions for a text of this length");
    const int arguments = lua_gettop(lua);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, arguments, LUA_MULTRET);
    if (Clock::now() > of(lua).end) {
        of(lua).spent = "it takes too long";
        return luaL_error(lua, "%s", of(lua).spent);
    }
    return lua_gettop(lua);
}

/// Without finalizers: they would run where no limit counts.
int LuaBox::Inside::set_metatable(lua_State* lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_argexpected(lua, lua_type(lua, 2) == LUA_TNIL || lua_type(lua, 2) == LUA_TTABLE, 2, "nil or table");
    lua_settop(lua, 2);
    if (lua_istable(lua, 2)) {
        lua_pushliteral(lua, "__gc");
        if (lua_rawget(lua, 2) != LUA_TNIL)
            return luaL_error(lua, "finalizers are not served");
        lua_pop(lua, 1);
    }
    lua_setmetatable(lua, 1);
    return 1;
}

/// Where the policy is: the innermost frame of its own.
Place LuaBox::Inside::place() const
{
    lua_Debug frame{};
    for (int level = 0; lua_getstack(lua, level, &frame) != 0; ++level) {
        lua_getinfo(lua, "Sl", &frame);
        if (frame.source[0] == '=' && is_digit(frame.source[1]) && frame.currentline > 0)
            return {sources[static_cast<std::size_t>(std::strtoul(frame.source + 1, nullptr, 10))], frame.currentline};
    }
    return {};
}

bool LuaBox::Inside::record_call()
{
    try {
        Call call;
        call.place = place();
        std::size_t size = 0, counted = 0;
        if (lua_type(lua, 1) != LUA_TSTRING)
            return true;
        const char* const name = lua_tolstring(lua, 1, &size);
        call.name.assign(name, size);
        for (int i = 2, top = lua_gettop(lua); i <= top; ++i) {
            call.arguments.push_back(value_at(lua, i, 0, counted));
            placed(call.arguments.back(), call.place);
        }
        if (counted > value_count) {
            trouble = call.name + ": too many values";
            return false;
        }
        doors.record(std::move(call));
        return true;
    } catch (const std::exception& failed) {
        trouble = failed.what();
        return false;
    }
}

int LuaBox::Inside::record(lua_State* lua)
{
    if (of(lua).record_call())
        return 0;
    lua_pushlstring(lua, of(lua).trouble.data(), of(lua).trouble.size());
    return lua_error(lua);
}

/// kind 0: data (a path, a text); 1: a module. What comes is in `handed`, or in `module_text`.
bool LuaBox::Inside::fetch(int kind)
{
    try {
        std::size_t size = 0;
        const char* const name = lua_tolstring(lua, 1, &size);
        const std::string path(name, size);
        if (kind == 1) {
            auto found = doors.module(path);
            module_text = std::move(found.second);
            if (!found.first.empty())
                sources.push_back(std::move(found.first));
            else
                trouble.clear();
            return true;
        }
        const char* const given = lua_type(lua, 2) == LUA_TSTRING ? lua_tolstring(lua, 2, &size) : nullptr;
        auto read = doors.data(path, given ? std::string(given, size) : std::string());
        if (!read) {
            trouble = read.error().text();
            return false;
        }
        handed = *std::move(read);
        return true;
    } catch (const std::exception& failed) {
        trouble = failed.what();
        return false;
    }
}

int LuaBox::Inside::data(lua_State* lua)
{
    luaL_checkstring(lua, 1);
    Inside& inside = of(lua);
    if (!inside.fetch(0)) {
        lua_pushlstring(lua, inside.trouble.data(), inside.trouble.size());
        return lua_error(lua);
    }
    push(lua, inside.handed);
    return 1;
}

/// The module's function; nil: there is none.
int LuaBox::Inside::module(lua_State* lua)
{
    luaL_checkstring(lua, 1);
    Inside& inside = of(lua);
    const std::size_t before = inside.sources.size();
    if (!inside.fetch(1)) {
        lua_pushlstring(lua, inside.trouble.data(), inside.trouble.size());
        return lua_error(lua);
    }
    if (inside.sources.size() == before)
        return 0;
    char chunk[24];
    const int length = std::snprintf(chunk, sizeof chunk, "=%zu", before);
    static_cast<void>(length);
    if (luaL_loadbufferx(lua, inside.module_text.data(), inside.module_text.size(), chunk, "t") != LUA_OK)
        return lua_error(lua);
    return 1;
}

/// False: it failed; nil is on the stack where it is not set.
bool LuaBox::Inside::ask_environment()
{
    try {
        std::size_t size = 0;
        const char* const name = lua_tolstring(lua, 1, &size);
        const auto found = doors.environment ? doors.environment(std::string(name, size), place()) : std::nullopt;
        has_variable = found.has_value();
        variable = found.value_or("");
        return variable.size() <= limits.allocation / 2;
    } catch (const std::exception&) {
        return false;
    }
}

/// os.getenv.
int LuaBox::Inside::environment(lua_State* lua)
{
    luaL_checkstring(lua, 1);
    Inside& inside = of(lua);
    if (!inside.ask_environment())
        return luaL_error(lua, "the environment cannot be asked");
    if (inside.has_variable)
        lua_pushlstring(lua, inside.variable.data(), inside.variable.size());
    else
        lua_pushnil(lua);
    return 1;
}

/// The libraries and the prelude, protected.
int LuaBox::Inside::loaded(lua_State* lua)
{
    static constexpr luaL_Reg libraries[] = {{LUA_GNAME, luaopen_base},
                                             {LUA_STRLIBNAME, luaopen_string},
                                             {LUA_TABLIBNAME, luaopen_table},
                                             {LUA_MATHLIBNAME, luaopen_math},
                                             {LUA_UTF8LIBNAME, luaopen_utf8}};
    for (const luaL_Reg& library : libraries) {
        luaL_requiref(lua, library.name, library.func, 1);
        lua_pop(lua, 1);
    }
    take_out(lua, LUA_GNAME, {"dofile", "loadfile", "load", "collectgarbage", "warn", "xpcall", "print"});
    take_out(lua, LUA_STRLIBNAME, {"dump"});
    take_out(lua, LUA_TABLIBNAME, {"move"});
    lua_pushcfunction(lua, protect);
    lua_setglobal(lua, "pcall");
    lua_pushcfunction(lua, set_metatable);
    lua_setglobal(lua, "setmetatable");
    lua_getglobal(lua, LUA_STRLIBNAME);
    for (const char* name : {"find", "match", "gmatch", "gsub"}) {
        lua_getfield(lua, -1, name);
        lua_pushcclosure(lua, match, 1);
        lua_setfield(lua, -2, name);
    }
    lua_pop(lua, 1);
    if (luaL_loadbufferx(lua, prelude, std::char_traits<char>::length(prelude), "=prelude", "t") != LUA_OK)
        return lua_error(lua);
    lua_pushcfunction(lua, record);
    lua_pushcfunction(lua, data);
    lua_pushcfunction(lua, module);
    lua_pushcfunction(lua, environment);
    lua_call(lua, 4, 1);  // a table of its functions
    lua_setfield(lua, LUA_REGISTRYINDEX, "posthorn");
    return 0;
}

int LuaBox::Inside::called(lua_State* lua)
{
    auto& asked = *static_cast<Asked*>(lua_touserdata(lua, 1));
    lua_getfield(lua, LUA_REGISTRYINDEX, "posthorn");
    lua_getfield(lua, -1, asked.function);
    for (const Value& argument : *asked.arguments)
        push(lua, argument);
    lua_call(lua, static_cast<int>(asked.arguments->size()), 1);
    try {
        std::size_t counted = 0;
        *asked.result = value_at(lua, lua_gettop(lua), 0, counted);
        asked.failed = counted > value_count;
    } catch (const std::exception&) {
        asked.failed = true;
    }
    return 0;
}

/// The error on the stack. "3:12: text" is of line 12 of the third source.
Error LuaBox::Inside::error()
{
    std::size_t size = 0;
    const char* const said = lua_type(lua, -1) == LUA_TSTRING ? lua_tolstring(lua, -1, &size) : nullptr;
    std::string text = said ? std::string(said, size) : std::string("an error that is no text");
    lua_settop(lua, 0);
    const std::size_t colon = text.find(':'), second = colon == text.npos ? text.npos : text.find(':', colon + 1);
    const auto source = second == text.npos ? std::nullopt : parse_number(text.substr(0, colon));
    if (source && *source < sources.size() && parse_number(text.substr(colon + 1, second - colon - 1)))
        text = fmt::format("{}, line {}:{}", sources[*source], text.substr(colon + 1, second - colon - 1), text.substr(second + 1));
    else if (!sources.empty())
        text = fmt::format("{}: {}", sources.front(), text);
    return Error{printable(text, true)};
}

LuaBox::LuaBox(Doors doors, const BoxLimits& limits) : inside_(std::make_unique<Inside>())
{
    inside_->doors = std::move(doors);
    inside_->limits = limits;
    inside_->end = Clock::now() + limits.time;
    inside_->lua = lua_newstate(Inside::allocate, inside_.get());
    if (!inside_->lua)
        throw std::bad_alloc();
    *static_cast<Inside**>(lua_getextraspace(inside_->lua)) = inside_.get();
    lua_sethook(inside_->lua, Inside::count, LUA_MASKCOUNT, hook_steps);
    lua_pushcfunction(inside_->lua, Inside::loaded);
    if (lua_pcall(inside_->lua, 0, 0, 0) != LUA_OK) {
        const std::string trouble = inside_->error().text();
        lua_close(inside_->lua);
        throw std::runtime_error("prelude: " + trouble);
    }
}

LuaBox::~LuaBox() { lua_close(inside_->lua); }

bool LuaBox::spent() const { return inside_->spent != nullptr; }

Result<void> LuaBox::run(std::string_view text, const std::string& path)
{
    inside_->sources.push_back(path);
    const std::string chunk = fmt::format("={}", inside_->sources.size() - 1);
    if (luaL_loadbufferx(inside_->lua, text.data(), text.size(), chunk.c_str(), "t") != LUA_OK || lua_pcall(inside_->lua, 0, 0, 0) != LUA_OK)
        return inside_->error();
    return {};
}

Result<Value> LuaBox::ask(const char* function, const std::vector<Value>& arguments)
{
    Value result;
    Asked asked{function, &arguments, &result};
    lua_pushcfunction(inside_->lua, Inside::called);
    lua_pushlightuserdata(inside_->lua, &asked);
    if (lua_pcall(inside_->lua, 1, 0, 0) != LUA_OK)
        return inside_->error();
    if (asked.failed)
        return Error{fmt::format("{}: more than {} values", inside_->sources.empty() ? "policy" : inside_->sources.front(), value_count)};
    return result;
}

}  // namespace posthorn::kumomta
