/**
 * Words that stand first in every list of leaked passwords, folded: alone or with a few digits and signs after them
 * they are refused. Data, not code; a longer list may replace it.
 */
export const COMMON_PASSWORDS: ReadonlySet<string> = new Set(
  `
  password passwort passw0rd p@ssword p@ssw0rd pa55word pass-word motdepasse contrasena contraseña senha wachtwoord
  haslo heslo parola parool salasana lösenord geheim geheimnis secret topsecret verysecret supersecret letmein
  letmeinnow welcome welcomeback willkommen bienvenue bienvenido bemvindo changeme changemenow changeit changethis
  default guest guestguest admin administrator adminadmin administrador root rootroot superuser toor user username
  test testtest testing tester testpass testpassword demo demodemo example sample temp temporary temppass
  qwerty qwertyui qwertyuiop qwertyqwerty qwerty123456 qwe123qwe qweasdzxc qweqweqwe qazwsx qazwsxedc qazqaz
  1qaz2wsx 1qaz2wsx3edc 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qazxsw2 zaq12wsx zaq1zaq1 zaq1xsw2 q1w2e3r4 q1w2e3r4t5
  asdfgh asdfghjk asdfghjkl asdfasdf asdf1234 asdqwe123 zxcvbn zxcvbnm zxcvbnmm zxcvasdf qwertz qwertzui qwertzuiop
  azerty azertyui azertyuiop asdfjkl asdfjklö 12qwaszx 123qwe 123qweasd 123qwe123 qwe12345 1234qwer 12345qwert abcd1234
  abc123 abc12345 abcabc abcdef abcdefgh aaa111 a1b2c3d4 a123456 a12345678 aa123456 aa12345678 abc123abc 123abc 123abc123
  11111111 111222333 11223344 1122334455 12121212 12131415 123123 123123123 123321 123321123 1234 12341234
  123412345 12344321 123454321 123456123 1234560 12345612 123456654321 1234567890 12345678910 0123456789 012345678
  0987654321 098765432 123456789a 123456789q 12345679 123654 123654789 123698745 131313 13131313 135792468 142536
  147258 147258369 147852369 159357 159753 159951 192837465 1029384756 19841984 20002000 20102010 20202020 21212121
  22222222 232323 23232323 25252525 242424 31415926 314159265 33333333 44444444 4815162342 55555555 555666777
  654321 65432112 66666666 741852963 77777777 789456 789456123 789789789 87654321 88888888 963852741 987654 98765432
  987654321 9876543210 999999999 99999999 00000000 000000000 0000000000 01010101 10101010 10203040 102030405060
  iloveyou iloveyou1 iloveyou2 iloveyouu iloveu iloveme ilovehim loveyou lovelove lovely loveme lovers teamo tequiero
  teamomucho mylove myloved babygirl babyboy babylove sweetheart sweety sweetie princess princesa princesse prinzessin
  queen angel angels angelina angelica beautiful gorgeous handsome sexysexy sexy darling honey honeybee sunshine
  sonnenschein moonlight starlight rainbow butterfly flower flowers daisy rose roses cherry cookie cookies chocolate
  schokolade cheese cheesecake pepper banana orange strawberry peaches apple apples coffee football futbol fussball
  soccer basketball baseball softball volleyball hockey tennis golf golfer cricket rugby liverpool arsenal chelsea
  manchester manunited barcelona barcelon realmadrid juventus bayern borussia galatasaray fenerbahce steelers cowboys
  eagles yankees lakers packers raiders redsox patriots dolphins monkey dragon tiger tigger shadow master mustang
  panther elephant dolphin phoenix scorpion spider kitten kitty hellokitty puppy bulldog doggie buster bandit jackass
  maverick ranger hunter killer warrior gladiator spartan samurai ninja knight wizard merlin gandalf superman batman
  spiderman ironman wolverine captain pokemon pikachu charizard naruto minecraft fortnite starwars startrek jedi
  jediknight skywalker darthvader matrix trustno1 trustnoone whatever whatsup nothing something anything everything
  internet computer laptop windows windows10 microsoft google facebook instagram youtube linkedin twitter
  samsung nokia iphone android apple123 playstation nintendo gameover freedom liberty america american canada england
  london paris berlin deutschland germany france espana mexico brasil argentina colombia australia india pakistan
  bangladesh indonesia nigeria russia ukraine turkey istanbul newyork california texas florida chicago boston dallas
  houston phoenix1 ferrari porsche mercedes corvette camaro yamaha honda toyota chevrolet harley harleydavidson metallica
  nirvana slipknot eminem beatles blink182 greenday linkinpark onedirection justinbieber michael michelle jessica ashley
  jennifer jordan jordan23 daniel andrew joshua matthew christopher christian anthony robert william charlie thomas
  george richard alexander alexandra alexandre nicholas nicole stephanie elizabeth samantha amanda melissa danielle
  rebecca victoria vanessa patricia fernando fernanda alejandro alejandra sebastian roberto ricardo eduardo carolina
  gabriela gabriel rodrigo leonardo francisco antonio mariana valentina isabella natasha svetlana vladimir muhammad
  mohammed abdullah jesus jesuschrist jesus1 christ blessed blessing faith heaven godisgood believe family forever
  forever1 friends friend friendship bestfriend together happy happiness smile lucky luckyboy success winner champion
  money dollar millionaire business summer winter spring autumn sommer fruehling monday friday saturday
  sunday january february march april june july august september october november december juli dezember
  correcthorsebatterystaple correct horse battery staple
  `
    .trim()
    .split(/\s+/),
)
