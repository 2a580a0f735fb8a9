// The Lua that a policy finds: a `kumo` whose calls are recorded, the helpers that it may require, and how it is asked afterwards.
#include "kumomta/lua_box.hpp"

namespace posthorn::kumomta {

const char* const prelude = R"lua(
local record, data, module, environment = ...
local type, tostring, rawequal, setmetatable, getmetatable, pairs, ipairs, error, pcall, select =
  type, tostring, rawequal, setmetatable, getmetatable, pairs, ipairs, error, pcall, select
local pack, unpack, ends = table.pack, table.unpack, function(text, tail) return text:sub(-#tail) == tail end

local handlers = {}      -- event to functions, in order
local helper = {}        -- functions of helpers: their files say what they would answer
local quiet = false      -- while it is asked, nothing is recorded
local posted             -- what was posted to last
local notes = {}         -- of the message that a handler has

local function say(name, ...)
  if not quiet then record(name, ...) end
end

-- What only a running KumoMTA has: it can be called, and looked into, for ever.
local thing
local arithmetic = { '__add', '__sub', '__mul', '__div', '__mod', '__pow', '__unm', '__idiv' }
local function is_thing(value)
  local meta = type(value) == 'table' and getmetatable(value)
  return type(meta) == 'table' and type(meta[1]) == 'string'
end
function thing(name)
  local meta = { name }
  meta.__index = function(_, key) if type(key) == 'string' then return thing(name .. '.' .. key) end end
  meta.__newindex = function() end
  meta.__call = function(_, ...)
    local first = ...
    local from = is_thing(first) and 2 or 1
    if quiet and notes.calls and name:sub(1, 8) == 'message.' then notes.calls[name:sub(9)] = true end
    if ends(name, '.post') or ends(name, '.put') then posted = select(from, ...) end
    say(name, select(from, ...))
    return thing(name .. '()')
  end
  meta.__concat = function(a, b) return tostring(a) .. tostring(b) end
  meta.__tostring = function() return '(' .. name .. ')' end
  meta.__len = function() return 0 end
  meta.__lt = function() return false end
  meta.__le = function() return false end
  for _, event in ipairs(arithmetic) do meta[event] = function() return 0 end end
  return setmetatable({}, meta)
end

local function same(value) return value end
local function load_file(path) return data(path) end
local function merge_into(from, into)
  for key, value in pairs(from or {}) do into[key] = value end
end
local function recursive_merge_into(from, into)
  for key, value in pairs(from or {}) do
    if type(value) == 'table' and type(into[key]) == 'table' then recursive_merge_into(value, into[key]) else into[key] = value end
  end
end

local function space(name, members)
  local function more(_, key) if type(key) == 'string' then return thing(name == '' and key or name .. '.' .. key) end end
  return setmetatable(members, { name, __index = more })
end
local function signer(parameters) return parameters end
local function split(text, by)
  local parts, from = {}, 1
  while by ~= '' do
    local first, last = text:find(by, from, true)
    if not first then break end
    parts[#parts + 1] = text:sub(from, first - 1)
    from = last + 1
  end
  parts[#parts + 1] = text:sub(from)
  return parts
end
local serde = space('serde', {
  toml_load = load_file, json_load = load_file,
  toml_parse = function(text) return type(text) == 'string' and data('toml', text) or thing('toml_parse()') end,
  json_parse = function(text) return type(text) == 'string' and data('json', text) or thing('json_parse()') end,
})
local kumo = space('', {
  on = function(event, handler)
    say('on', event)
    if type(handler) == 'function' then
      handlers[event] = handlers[event] or {}
      handlers[event][#handlers[event] + 1] = handler
    end
  end,
  make_egress_pool = same, make_egress_source = same, make_egress_path = same, make_queue_config = same, make_listener_domain = same,
  memoize = function(fn) return fn end,
  toml_load = load_file, json_load = load_file, toml_parse = serde.toml_parse, json_parse = serde.json_parse, serde = serde,
  string = space('string', { split = split }),
  domain_map = { new = function(map) return map or {} end },
  dkim = space('dkim', { rsa_sha256_signer = signer, ed25519_signer = signer }),
  reject = function(code, text) error('reject ' .. tostring(code) .. ' ' .. tostring(text), 0) end,
  disconnect = function(code, text) error('disconnect ' .. tostring(code) .. ' ' .. tostring(text), 0) end,
})

local function helper_function()
  local fn = function() end
  helper[fn] = true
  return fn
end
local function files_helper(name, result)
  return { setup = function(_, files) say(name, files) return result() end }
end
local function signs() return function(msg) if type(msg) == 'table' then notes.dkim_helper = true end end end
local function applies()
  return { apply = function() notes.queue_helper = true end, resolve_config = function() return {} end }
end
local shaping = {
  setup = function(_, extra) say('shaping:setup', extra) return helper_function() end,
  setup_with_automation = function(_, options)
    say('shaping:setup', (options or {}).extra_files, (options or {}).no_default_files)
    return { get_egress_path_config = helper_function(), setup_publish = function() end, should_enqueue_log_record = helper_function(),
             get_queue_config = helper_function() }
  end,
}
shaping.setup_json = shaping.setup
local queue = files_helper('queue:setup', applies)
queue.setup_with_options = function(_, options) return queue.setup(_, (options or {}).file_names) end
local function new_hook(_, options)
  options = options or {}
  local url = options.url
  if not url and type(options.constructor) == 'function' then
    local before = quiet
    quiet, posted = true, nil
    pcall(function()
      local connection = options.constructor('domain', nil, nil)
      connection:send(thing('message'))
    end)
    quiet, url = before, posted
  end
  local known = {}
  merge_into(options, known)
  known.url = url
  say('log_hooks:new', known)
end

local modules = {
  kumo = kumo,
  tsa = space('tsa', {}),
  ['policy-extras.shaping'] = shaping,
  ['policy-extras.sources'] = files_helper('sources:setup', function() end),
  ['policy-extras.queue'] = queue,
  ['policy-extras.dkim_sign'] = files_helper('dkim_sign:setup', signs),
  ['policy-extras.listener_domains'] = files_helper('listener_domains:setup', helper_function),
  ['policy-extras.log_hooks'] = { new = new_hook, new_json = new_hook, new_disposition_hook = new_hook },
  ['policy-extras.policy_utils'] = space('policy_utils', {
    merge_into = merge_into, recursive_merge_into = recursive_merge_into, load_json_or_toml_file = load_file,
    table_contains = function(list, wanted) for _, one in pairs(list or {}) do if one == wanted then return true end end return false end,
    table_keys = function(map) local keys = {} for key in pairs(map or {}) do keys[#keys + 1] = key end return keys end,
    table_is_empty = function(map) return next(map or {}) == nil end,
    starts_with = function(text, head) return text:sub(1, #head) == head end, ends_with = ends,
    split_ip_port = function(text) return text, 0 end,
  }),
}
function require(name)
  if modules[name] == nil then
    local fn = module(name)
    if fn then
      local result = fn(name)
      modules[name] = result == nil and true or result
    else
      say('require', name)
      modules[name] = thing(name)
    end
  end
  return modules[name]
end
function print(...) say('print', ...) end
function xpcall(fn, handler, ...)
  local done = pack(pcall(fn, ...))
  if done[1] then return unpack(done, 1, done.n) end
  return false, handler(done[2])
end
os = { getenv = environment, time = function() return 0 end, clock = function() return 0 end,
       date = function() return '1970-01-01 00:00:00' end }
setmetatable(os, { 'os', __index = function(_, key) return thing('os.' .. tostring(key)) end })
io = thing('io')
package = thing('package')
_G.kumo = kumo

local function address(domain)
  return setmetatable({ domain = domain, user = 'user', email = 'user@' .. domain }, { __tostring = function() return 'user@' .. domain end })
end
local function message(author, fields, recipient)
  local meta, msg = {}, {}
  notes = { meta = {}, signers = {}, removed = {}, calls = {} }
  local mine = notes
  function msg:get_first_named_header_value(name) if fields then return '\1field:' .. tostring(name) .. '\1' end end
  function msg:get_all_named_header_values(name) return fields and { '\1field:' .. tostring(name) .. '\1' } or {} end
  function msg:get_meta(key) return meta[key] end
  function msg:set_meta(key, value)
    meta[key] = value
    mine.meta[key] = value
  end
  function msg:check_fix_conformance() mine.calls.check_fix_conformance = true end
  function msg:from_header() return address(author) end
  function msg:sender() return address(author) end
  function msg:recipient() return address(recipient) end
  function msg:dkim_sign(with) mine.signers[#mine.signers + 1] = with end
  function msg:remove_all_named_headers(name) mine.removed[name] = true end
  function msg:remove_x_headers(names) for _, name in ipairs(names or {}) do mine.removed[name] = true end end
  return setmetatable(msg, { __index = function(_, key) return thing('message.' .. tostring(key)) end })
end
local listener = setmetatable({ get_meta = function() return nil end }, { __index = function(_, key) return thing('connection.' .. tostring(key)) end })

return {
  -- Handlers that start things: their calls count.
  fire = function(event)
    for _, fn in ipairs(handlers[event] or {}) do fn() end
  end,
  -- Handlers that answer: the first answer, from the site's own code.
  answer = function(event, ...)
    quiet = true
    for _, fn in ipairs(handlers[event] or {}) do
      if not helper[fn] then
        local said = pack(pcall(fn, ...))
        if not said[1] then quiet = false error(said[2], 0) end
        if said[2] ~= nil then quiet = false return said[2] end
      end
    end
    quiet = false
  end,
  asks = function(event)
    for _, fn in ipairs(handlers[event] or {}) do if not helper[fn] then return true end end
    return false
  end,
  domain = function(event, domain)
    quiet = true
    for _, fn in ipairs(handlers[event] or {}) do
      if not helper[fn] then
        local done, said = pcall(fn, domain, '0.0.0.0:25', listener)
        if not done then quiet = false error(said, 0) end
        if said ~= nil then quiet = false return said end
      end
    end
    quiet = false
  end,
  handle = function(event, author, fields, recipient)
    quiet = true
    local msg = message(author, fields, recipient)
    for _, fn in ipairs(handlers[event] or {}) do
      local done, said = pcall(fn, msg, listener)
      if not done then notes.trouble = tostring(said) break end
    end
    quiet = false
    return notes
  end,
}
)lua";

}  // namespace posthorn::kumomta
