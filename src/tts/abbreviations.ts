/**
 * Words after which a full stop is not, or may not be, the end of a sentence: English, German and French. Lower case, without the last dot.
 * A word missing here costs a pause in the wrong place, a word too many makes one segment longer: when in doubt it is in.
 */

const words = (list: string): ReadonlySet<string> => new Set(list.split(/\s+/));

/** Never an end. */
export const neverEnds = words(`
  mr mrs ms mx dr prof st mt rev hon gen col capt cmdr lt sgt cpl gov sen rep pres fr messrs vs approx ca cf viz est dept tel fig figs eq eqs
  ed eds ext
  hr hrn fr frl dipl ing med phil bzw evtl ggf inkl exkl zzgl vgl nr nrn bd abs abb anm aufl hrsg bspw sog geb gest verh mio mrd std
  stellv lt str u.a z.b d.h i.d.r o.ä u.ä s.o s.u v.a v.chr n.chr m.e o.g e.v
  m mm mme mmes mlle mlles mgr env av bd tél éd chap ex c.-à-d j.-c
  e.g i.e`);

/** An end only when what follows begins like a sentence: with a capital letter. */
export const endsBeforeCapital = words('etc usw usf mwst al jr sr bros ave blvd rd');

/** An end only before a word that likes to begin sentences: "at 5 p.m. Then" but "at 5 p.m. Monday", "the U.S. Government". */
export const endsBeforeStarter = words('inc ltd co corp a.m p.m u.s u.k u.n u.s.a e.u d.c l.a n.y b.c a.d ph.d m.d b.a m.a');
export const sentenceStarters = words(`
  the a an this that these those there here then now so but and or if when what where which who why how because since while after before
  once as also however still yet i you he she it we they my your his her its our their in on at for to with from by no not yes ok okay please
  thank thanks sorry would could can do does did is are was were will shall should may let just all any some each every both
  der die das den dem ein eine einen ich du er sie es wir ihr mein meine ihre ihren unser unsere dann danach aber und oder wenn falls weil was
  wann wo wer wie warum welche welcher bitte danke können könnten möchten wollen soll ist sind hat haben war wird auch dort hier heute morgen
  jetzt am im um ab für mit von zu nach bei bis nein ja
  le la les un une des il elle on nous vous ils elles je tu ce cette ces mon ma votre notre puis mais et ou donc si quand que qui où comment
  pourquoi merci dans pour avec sur non oui est`);

/** Not an end when a number or a small letter follows: "No. 5", "Jan. 3", "5 Min. später". */
export const openBeforeNumber = words(`
  no nos art sec secs min max pp vol ch par pt jan feb mar apr jun jul aug sep sept oct nov dec okt dez mai mär janv févr juil déc
  mo di mi do sa so n° mon tue tues wed thu thur thurs fri sat sun kap ziff`);

/** Before a number with a full stop these make it an ordinal: "am 3. Mai", "der 2. Versuch", "vom 1. bis 5. Juni". */
export const ordinalFollows = words(`
  am der die das dem den des vom zum zur im bis ab seit nach vor jeder jede jedes jedem jeden ein eine einen einem einer mein meine dein deine
  ihr ihre sein seine unser unsere und oder montag dienstag mittwoch donnerstag freitag samstag sonntag`);
