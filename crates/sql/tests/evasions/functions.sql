>>> postgres: procedure
select my_function(1)
>>> postgres: procedure
select public.lower('x')
>>> postgres: =read
select pg_catalog.lower('x')
>>> postgres: procedure
select "Lower"('x')
>>> postgres: server
select pg_read_file('/etc/passwd')
>>> postgres: server
select PG_Read_File ( '/etc/passwd' )
>>> postgres: server
select pg_read_file/**/('/etc/passwd')
>>> postgres: server
select "pg_read_file"('/etc/passwd')
>>> postgres: server
select pg_catalog . "pg_read_file" ('/etc/passwd')
>>> postgres: unknown
select U&"pg\005fread_file"('/etc/passwd')
>>> postgres: unknown
select u&"pg!005fread_file" uescape '!' ('/etc/passwd')
>>> postgres: server
select ('/etc/passwd').pg_read_file
>>> postgres: server
select ('/etc/passwd'::text).pg_read_binary_file
>>> postgres: procedure
select (t).my_function from t
>>> postgres: procedure
select (array[1])[1].my_function
>>> postgres: server
select t.lo_import from (select '/etc/passwd'::text) t
>>> postgres: server
select * from pg_ls_dir('.')
>>> postgres: server
select * from t, lateral pg_ls_dir(t.path) as f
>>> postgres: server
select * from rows from (pg_ls_dir('.'), generate_series(1, 2)) as x(a, b)
>>> postgres: server
select lo_import('/etc/passwd')
>>> postgres: server
select lo_export(1, '/tmp/x')
>>> postgres: server
select * from dblink('host=elsewhere', 'select 1') as t(a int)
>>> postgres: server
select dblink_exec('x', 'delete from t')
>>> postgres: server
select pg_terminate_backend(pid) from pg_stat_activity
>>> postgres: server
select case when true then pg_cancel_backend(1) end
>>> postgres: confinement
select set_config('transaction_read_only', 'off', true)
>>> postgres: confinement
select 1 where set_config('role', 'postgres', false) is not null
>>> postgres: unknown
select query_to_xml('delete from t returning *', true, true, '')
>>> postgres: unknown
select database_to_xml(true, true, '')
>>> postgres: unknown
select table_to_xml('secret', true, true, '')
>>> postgres: unknown
select * from ts_stat('select v from t')
>>> postgres: unknown
select ts_rewrite('a'::tsquery, 'select t, s from x')
>>> postgres: procedure
select a <!> b from t
>>> postgres: procedure
select a operator(public.+) b from t
>>> postgres: =read
select a operator(pg_catalog.+) b from t
>>> postgres: procedure
select 'x'::my_domain
>>> postgres: procedure
select 'x'::public.text
>>> postgres: procedure
select cast('x' as my_domain)
>>> postgres: procedure
select cast(a as my_domain[]) from t
>>> postgres: procedure
select my_domain 'x'
>>> postgres: procedure
select public.my_domain 'x'
>>> postgres: procedure
select * from my_function(1) as f(a int)
>>> postgres: procedure
with my_function(a) as (select 1) select my_function(1) from my_function
>>> postgres: procedure
select t.a from (select 1) as my_function(a) join lateral my_function(a) t on true
>>> postgres: procedure
select 1 order by my_function(1)
>>> postgres: procedure
select sum(a) filter (where my_function(a)) from t
>>> postgres: procedure
select sum(a) over (order by my_function(a)) from t
>>> postgres: procedure
select a from t limit my_function(1)
>>> postgres: procedure
select distinct on (a) my_function(b) from t
>>> postgres: procedure
select distinct on (my_function(a)) b from t
>>> postgres: procedure
values (my_function(1))
>>> postgres: procedure
select a from t group by cube (my_function(a))
>>> postgres: procedure
select array(select my_function(1))
>>> postgres: procedure
select pg_sleep(1000)
>>> postgres: procedure
explain select my_immutable_function(1)
>>> postgres: procedure
insert into t values (my_function(1))
>>> postgres: procedure
update t set a = my_function(1)
>>> postgres: procedure
delete from t where my_function(a)
>>> postgres: procedure
insert into t (a) select 1 on conflict (my_function(a)) do nothing
>>> postgres: procedure
create table x as select my_function(1)
>>> postgres: procedure
execute p (my_function(1))
>>> postgres: procedure
call my_procedure(1)
>>> postgres: procedure+unknown
do $$ begin delete from t; end $$
>>> postgres: procedure+unknown
do language plpgsql 'begin perform 1; end'
>>> postgres: procedure
select a from t tablesample system (my_function(1))
>>> postgres: procedure
select over(1)
>>> mysql: procedure
select my_function(1)
>>> mysql: procedure
select shop.abs(1)
>>> mysql: server
select load_file('/etc/passwd')
>>> mysql: server
select LOAD_FILE /**/ ('/etc/passwd')
>>> mysql: procedure
select `sleep`(10)
>>> mysql: procedure
select sleep(10), benchmark(1000000, md5('x'))
>>> mysql: procedure
do sleep(5)
>>> mysql: procedure
select * from t procedure analyse(1, 2)
>>> mysql: server
select sys_exec('id')
>>> mysql: server
select master_pos_wait('x', 1)
>>> mysql: server+copy-out
select * from t into outfile '/tmp/x'
>>> mysql: server
select '<?php' into dumpfile '/var/www/x.php'
>>> mysql: server
select a into outfile '/tmp/x' fields terminated by ',' from t
>>> mysql: procedure
call p(1)
>>> mysql: procedure
show tables where my_function(1)
>>> mysql: procedure
set @x = my_function(1)
>>> postgres: procedure
select json_object('a': 1 returning my_domain)
>>> postgres: unknown
select * from json_table('[]', '$[*]' columns (a my_domain path '$')) t
>>> postgres: procedure
select * from t tablesample my_system (1)
>>> postgres: =read
select * from t tablesample system (1) repeatable (2)
>>> mysql: unknown
set @x = (select email from customers)
>>> mysql: unknown
show tables where (select 1 from secret)
>>> mysql: procedure
do (select f())
