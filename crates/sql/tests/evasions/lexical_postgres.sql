>>> postgres: write
select 1; delete from t
>>> postgres: write
select 1;/**/;;  ; delete from t
>>> postgres: write
select ';' ; delete from t -- '
>>> postgres: =read
select '; delete from t --'
>>> postgres: write
select '\'; delete from t; --'
>>> postgres backslashes: =read
select '\'; delete from t; --'
>>> postgres: =read
select E'\'; delete from t; --'
>>> postgres: write
select E'\\'; delete from t; --'
>>> postgres: write
select E'a\'b'
'c\'; delete from t; --' ; delete from t
>>> postgres: =read
select E'a'
'\'; delete from t; --'
>>> postgres: =read
select E'a' -- comment ' here
'\'; delete from t; --'
>>> postgres: write
select E'a' '\'; delete from t; --'
>>> postgres: =read
select $$; delete from t; $$
>>> postgres: write
select $a$ $b$ $a$; delete from t; --$b$
>>> postgres: =read
select $a$ $$; delete from t; $a$
>>> postgres: write
select $$a$$; delete from t; select $$b$$
>>> postgres: unknown
select $1a$; delete from t; $1a$
>>> postgres: write
select a$b$, 1; delete from t; select $b$ x $b$
>>> postgres: =read
select 1 /* ; delete from t */
>>> postgres: =read
select 1 /* /* */ ; delete from t */
>>> postgres: write
select 1 /* /* */ */ ; delete from t
>>> postgres: unknown
select 1 /* ; delete from t
>>> postgres: unknown
select 1 /*/ ; delete from t
>>> postgres: write
select 1 -- ;
; delete from t
>>> postgres: write
select 1 --{0d}; delete from t
>>> postgres: write
select 1 +-- x
1; delete from t
>>> postgres: =read
select 1 <-- ; delete from t
2
>>> postgres: write
select 1 */* ; */ 2; delete from t
>>> postgres: =read
select "a;b"" ; delete from t" from x
>>> postgres: write
select "a"" ", '"'; delete from t
>>> postgres: =read
select U&'\0027; delete from t; --'
>>> postgres: write
select U&'\'; delete from t; --'
>>> postgres backslashes: unknown
select U&'x'
>>> postgres: write
select B'1'; delete from t; select X'1F'
>>> postgres: write
select N'\'; delete from t --'
>>> postgres: unknown
select 1e'\'; delete from t --'
>>> postgres: unknown
select 1E'x'
>>> postgres: unknown
select{00} 1
>>> postgres: unknown
select 1{00}; delete from t
>>> postgres: unknown
select '{ff}'
>>> postgres: unknown
{c2}{a0}delete from t
>>> postgres: unknown
select 1{c2}{a0}
>>> postgres gbk: unknown
select '{bf}{5c}'; delete from t --'
>>> postgres gbk: =read
select 'plain'
>>> postgres latin1: write
select '{e9}'; delete from t
>>> postgres: unknown
select \gexec
>>> postgres: write
{0c}delete{09}from{0d}t
>>> postgres: write
DeLeTe/**/FROM/**/t
>>> postgres: unknown
"delete" from t
>>> postgres: unknown
#select 1
>>> postgres: unknown
select 1 where 'a' = 'b
>>> postgres: unknown
select $x$ never ends
>>> postgres: write
begin; select 1; delete from t; commit
>>> postgres: unknown
{ef}{bb}{bf}select 1
>>> postgres: unknown
select 1 from t where a = `b`
