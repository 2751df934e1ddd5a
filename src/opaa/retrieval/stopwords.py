"""Words that carry no topic, by language (ISO 639-1); accents already folded as `analysis.fold` does."""

_ENGLISH = """
a about above after again against all also am an and any are as at be because been before being below between both but
by can cannot could did do does doing down during each either else ever every few for from further get give given had
has have having he her here hers him his how however i if in into is it its itself just like lot made make many may me
might more most much must my neither no nor not of off on once one only or other others our ours out over own please
same shall she should show since so some such tell than that the their theirs them then there therefore these they this
those through thus to too under until up upon us use used using very via was we were what when where whether which while
who whom whose why will with within without would yet you your yours s t re ve ll d m don doesn isn
"""

_GERMAN = """
aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei beim bin
bis bist bitte da dabei dadurch dafur dagegen daher damit danach dann daran darauf daraus darf darin daruber darum das
dass dasselbe davon dazu dein deine deinem deinen deiner dem den denen denn der deren des deshalb dessen dich die dies
diese diesem diesen dieser dieses dir doch dort du durch durfen ein eine einem einen einer eines einige einigen einiger
er es etwa etwas euch euer eure fur gab geben gegen gewesen gibt hab habe haben hat hatte hatten hier hin hinter ich ihm
ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder jedes jedoch jene jenem jenen jener
kann kannst kein keine keinem keinen keiner konnen konnte man manche manchen mancher mehr mein meine meinem meinen
meiner mich mir mit muss mussen nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner seit
selbst sich sie sind so sobald solche solchem solchen solcher soll sollen sollte sondern sonst sowie soweit uber um und
uns unser unsere unserem unseren unserer unter viel viele vielen vom von vor wahrend war waren warum was weil welche
welchem welchen welcher welches wenn wer werde werden wem wen wessen wie wieder wieviel will wir wird wo wobei wodurch
wofur woher wohin wollen womit worin wurde wurden zu zum zur zwar zwischen
"""

STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(_ENGLISH.split()),
    "de": frozenset(_GERMAN.split()),
}
